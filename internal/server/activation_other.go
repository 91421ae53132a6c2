//go:build !unix

package server

import "os"

// isListeningSocket is never called: no sockets are passed on this system.
func isListeningSocket(*os.File) bool { return false }
