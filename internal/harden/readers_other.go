//go:build !windows

package harden

import (
	"fmt"
	"os"
)

// ReadersBesidesBroker returns who besides the broker can read a secret file, and the command that prevents it: every user, if the file's
// mode allows that. Both are empty if it does not, or if the mode cannot be read. It follows symbolic links, by which Kubernetes mounts
// secrets, and ignores the modes of the parent directories.
func ReadersBesidesBroker(path string) (readers, repairCommand string) {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&0o004 == 0 {
		return "", ""
	}
	return fmt.Sprintf("every user (mode %04o)", info.Mode().Perm()), "chmod o-r " + path
}
