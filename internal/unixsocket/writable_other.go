//go:build !unix

package unixsocket

// checkWritable is never called: validatePath refuses every path on this system.
func checkWritable(string) error { return nil }
