//go:build !windows

package server

// The words of commands to paste into a shell.
const (
	// Curl is the name of curl.
	Curl = "curl"

	firstLine         = "head -n 1"
	accessKeyVariable = "$BROKER_ACCESS_KEY"
)
