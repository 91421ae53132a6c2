//go:build !unix

package unixsocket

// checkWritable is never called: validatePathSyntax refuses every path on this system.
func checkWritable(string) error { return nil }
