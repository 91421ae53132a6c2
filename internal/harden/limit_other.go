//go:build !unix

package harden

// DescriptorLimit returns false: this system has no such limit.
func DescriptorLimit() (n int, ok bool) {
	return 0, false
}
