//go:build !windows

package main

// platformCommands returns the commands that only this system has: none.
func platformCommands() []command { return nil }
