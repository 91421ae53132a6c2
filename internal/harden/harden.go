// Package harden reduces what other processes and users can learn about the broker, and reads its limits.
package harden

import (
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// Process removes the named environment variables, which hold secrets, so that child processes do not inherit them. On Linux it also
// makes the process non-dumpable: only processes with CAP_SYS_PTRACE can attach to it or read its memory and environment in /proc, and
// it writes no core dump. /proc/PID/environ still shows the initial environment to root. Call it at startup, after reading the
// environment. It ignores errors: sandboxes may forbid each step, and that is no reason to stop.
func Process(secretVariables []string) {
	makeNonDumpable()
	for _, name := range secretVariables {
		_ = os.Unsetenv(name)
	}
}

// LowerGoMemoryLimitToCgroup lowers Go's memory limit (GOMEMLIMIT) to seven eighths of the control group's, if there is one. The
// rest is for what the Go runtime does not count: the program itself and the kernel's socket buffers.
func LowerGoMemoryLimitToCgroup() {
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

// cgroupMemoryLimit returns the lowest memory limit of the control groups that a process is in, and of their ancestors, or else
// noMemoryLimit, in bytes. procSelfCgroup is what /proc/self/cgroup holds. In a container the path in it may be the host's, of which
// only the last part exists below the mount point; missing files are skipped.
func cgroupMemoryLimit(procSelfCgroup string, read func(name string) ([]byte, error)) (limitOrNoMemoryLimit int64) {
	lowest := int64(noMemoryLimit)
	for line := range strings.Lines(procSelfCgroup) {
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
				if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit > 0 { // not "max"
					lowest = min(lowest, limit)
				}
			}
			if group == "/" {
				break
			}
		}
	}
	return lowest
}
