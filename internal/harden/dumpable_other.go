//go:build !linux

package harden

func makeNonDumpable() {}
