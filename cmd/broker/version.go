package main

import (
	"cmp"
	"context"
	"runtime"
	"runtime/debug"
)

// version and revision are set by the linker: -ldflags "-X main.version=… -X main.revision=…". Without that, revision is the
// commit that the go command recorded.
var (
	version  = "dev"
	revision = "" // a call here would overwrite the linker's value
)

func init() {
	if info, ok := debug.ReadBuildInfo(); ok && revision == "" {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = setting.Value
			}
		}
	}
	revision = cmp.Or(revision, "unknown")
}

func versionCommand(_ context.Context, i *invocation) error {
	printLine(i.stdout, "etrusted-broker %s (revision %s, %s)", version, revision, runtime.Version())
	return nil
}
