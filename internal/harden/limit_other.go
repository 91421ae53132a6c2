//go:build !unix

package harden

// DescriptorLimit returns false: there is no limit to ask for.
func DescriptorLimit() (n int, ok bool) {
	return 0, false
}
