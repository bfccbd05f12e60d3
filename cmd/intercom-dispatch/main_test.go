package main

import (
	"io"
	"os"
	"testing"
)

// asProgram in the environment makes the test binary the program itself, so
// that tests have real processes, signals and exit statuses.
const asProgram = "INTERCOM_DISPATCH_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		go dieWithParent()
		main()
	}
	os.Exit(m.Run())
}

// dieWithParent ends the program with the test binary, also where that is
// killed: the other end of the pipe is closed then.
func dieWithParent() {
	const lifeline = 3 // The first of exec.Cmd's ExtraFiles.
	_, _ = io.Copy(io.Discard, os.NewFile(lifeline, "lifeline"))
	os.Exit(99)
}
