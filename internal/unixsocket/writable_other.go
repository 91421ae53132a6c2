//go:build !unix

package unixsocket

// checkWritable is never called: checkPath refuses every path on this system.
func checkWritable(string) error { return nil }
