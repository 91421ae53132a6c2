//go:build !windows

package main

// systemCommands returns the commands that only this system has.
func systemCommands() []command { return nil }
