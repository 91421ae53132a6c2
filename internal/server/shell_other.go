//go:build !windows

package server

// The words of commands to paste into a shell.
const (
	// CurlCommand is the name of curl.
	CurlCommand = "curl"

	firstLineCommand  = "head -n 1"
	accessKeyVariable = "$BROKER_ACCESS_KEY"
)
