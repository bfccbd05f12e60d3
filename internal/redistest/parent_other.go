//go:build !linux

package redistest

import "syscall"

// dieWithParent cannot be had here: a killed test binary leaves its servers.
func dieWithParent() *syscall.SysProcAttr { return nil }
