package harden

import (
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// LimitMemory lowers Go's memory limit (GOMEMLIMIT) to seven eighths of the control group's. The rest is for what the Go
// runtime does not count: the program itself and the kernel's socket buffers. A limit that is lower already stays, and
// where there is no control group nothing changes.
func LimitMemory() {
	cgroups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return // not Linux
	}
	if limit, ok := cgroupLimit(string(cgroups), os.ReadFile); ok {
		debug.SetMemoryLimit(min(debug.SetMemoryLimit(-1), limit-limit/8))
	}
}

// MemoryLimit returns Go's memory limit in bytes: GOMEMLIMIT, or the limit that LimitMemory has set. It returns false without a
// limit.
func MemoryLimit() (bytes int64, ok bool) {
	limit := debug.SetMemoryLimit(-1) // reads the limit and does not change it
	return limit, limit != math.MaxInt64
}

// noLimit is what no machine has. Version 1 says 2^63 less a page for "unlimited".
const noLimit = 1 << 46

// cgroupLimit returns the lowest memory limit of the control groups that a process is in, and of their ancestors. cgroups is
// what /proc/self/cgroup holds. It returns false if none of them is limited.
//
// In a container, the path may be that on the host, of which the container sees only the end, at the mount point. So
// files that are missing are skipped.
func cgroupLimit(cgroups string, read func(name string) ([]byte, error)) (bytes int64, ok bool) {
	bytes = noLimit
	for line := range strings.Lines(cgroups) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3) // id, controllers, path
		if len(fields) < 3 {
			continue
		}
		mount, file := "/sys/fs/cgroup", "memory.max"
		if fields[1] != "" {
			if !strings.Contains(","+fields[1]+",", ",memory,") {
				continue
			}
			mount, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			if text, err := read(path.Join(mount, group, file)); err == nil {
				bytes = min(bytes, parseLimit(string(text)))
			}
			if group == "/" {
				break
			}
		}
	}
	return bytes, bytes < noLimit
}

// parseLimit returns a limit as the kernel writes it, and noLimit for "max" and everything else that is not a positive
// number.
func parseLimit(text string) int64 {
	limit, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || limit <= 0 {
		return noLimit
	}
	return limit
}
