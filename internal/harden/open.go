package harden

import (
	"io/fs"
	"os"
	"runtime"
)

// OpenToOthers reports whether the mode of a file lets every user of the machine read it, and returns its permission
// bits. Symbolic links are followed: Kubernetes mounts secrets by them. Whether the folders above let everybody through
// is not looked at.
//
// A file that cannot be looked at counts as closed, and so does every file on Windows, where the mode says nothing about
// who may read.
func WorldReadable(path string) (mode fs.FileMode, open bool) {
	if runtime.GOOS == "windows" {
		return 0, false
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	mode = info.Mode().Perm()
	return mode, mode&0o004 != 0
}
