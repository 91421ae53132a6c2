package filewatch

import (
	"os"
	"time"
)

// IsSettled reports whether the file at path was last written at least settleTime ago. Before that, it may be half written, and its
// old content should stay in use: WatchDirs calls again once it has settled. A file that is missing, or whose time is in the
// future because another machine keeps it, counts as settled.
func IsSettled(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return true
	}
	age := time.Since(info.ModTime())
	return age < 0 || age >= settleTime
}
