//go:build race

package linkrewrite_test

// The race detector makes scanning thirty times slower, and large bodies have no races that small ones do not.
func init() { sizeDivisor = 20 }
