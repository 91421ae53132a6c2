//go:build race

package linkrewrite_test

// The race detector makes a look at a byte thirty times slower, and no byte is looked at in another way for that.
func init() { fewer = 20 }
