// Package harden reduces what other processes and users can learn about the broker, and reads its limits.
package harden

import (
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// Process removes the named environment variables, which hold secrets, and on Linux makes the process non-dumpable. Call it
// at startup, after reading the environment.
//
// Child processes do not inherit the variables. On Linux, moreover, only processes with CAP_SYS_PTRACE can attach to this one
// or read its memory and environment in /proc, and it writes no core dump. /proc/PID/environ still shows the initial
// environment to root.
//
// Process does as much as it can: sandboxes may forbid each step, and that is no reason to stop.
func Process(secretVariables []string) {
	disableDump()
	for _, name := range secretVariables {
		_ = os.Unsetenv(name)
	}
}

// LimitMemory lowers Go's memory limit (GOMEMLIMIT) to seven eighths of the control group's. The rest is for what the Go
// runtime does not count: the program itself and the kernel's socket buffers. A limit that is lower already stays, and
// where there is no control group nothing changes.
func LimitMemory() {
	cgroups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return // not Linux
	}
	if limit := cgroupMemoryLimit(string(cgroups), os.ReadFile); limit < noMemoryLimit {
		debug.SetMemoryLimit(min(debug.SetMemoryLimit(-1), limit-limit/8))
	}
}

// noMemoryLimit is more memory than any machine has. Version 1 of control groups says 2^63 less a page instead.
const noMemoryLimit = 1 << 46

// cgroupMemoryLimit returns the lowest memory limit of the control groups that a process is in, and of their ancestors. cgroups is
// what /proc/self/cgroup holds. It returns noMemoryLimit if there is no limit.
//
// In a container the path may be the host's, of which only the last part exists below the mount point; missing files are
// skipped.
func cgroupMemoryLimit(cgroups string, read func(name string) ([]byte, error)) (bytes int64) {
	bytes = noMemoryLimit
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
				bytes = min(bytes, parseMemoryLimit(string(text)))
			}
			if group == "/" {
				break
			}
		}
	}
	return bytes
}

// parseMemoryLimit parses a limit as the kernel writes it. It returns noMemoryLimit for max and for anything that is not a positive
// number.
func parseMemoryLimit(text string) int64 {
	limit, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || limit <= 0 {
		return noMemoryLimit
	}
	return limit
}
