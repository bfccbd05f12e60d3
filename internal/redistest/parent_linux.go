package redistest

import "syscall"

// dieWithParent ends a child with its parent, also where the test binary is
// killed and runs no clean-ups.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
