package main

import (
	"cmp"
	"fmt"
	"runtime/debug"
)

type versionCommand struct{}

func (versionCommand) Run(p *program) error {
	_, err := fmt.Fprintf(p.stdout, "intercom-dispatch %s\n", buildVersion())
	return err
}

// buildVersion is the linker's, or what the Go tool knows of the build.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return cmp.Or(version, "unknown")
	}
	return cmp.Or(version, info.Main.Version)
}
