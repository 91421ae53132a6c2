package harden

import (
	"io/fs"
	"os"
	"runtime"
)

// WorldReadable reports whether the file's mode lets every user read it, and returns its permission bits. It follows
// symbolic links, by which Kubernetes mounts secrets, and ignores the modes of the parent directories.
//
// It returns false if the file's mode cannot be read, and always on Windows, where the mode does not control access.
func WorldReadable(path string) (mode fs.FileMode, readable bool) {
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
