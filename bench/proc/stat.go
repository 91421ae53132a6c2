// Package proc starts programs and reads their CPU time and memory from /proc.
package proc

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc/PID/stat. USER_HZ is 100 on every architecture that Go supports. The kernel counts
// nanoseconds and rounds only when it prints, so each reading has an error of 10 ms; the errors do not add up over time.
const tick = 10 * time.Millisecond

// stat contains the fields of /proc/PID/stat that the benchmark needs.
type stat struct {
	group int           // process group ID
	cpu   time.Duration // user and system, of the process and of its children that have exited
}

// parseStat parses /proc/PID/stat, see proc_pid_stat(5). The process name in the second field may contain spaces and parentheses.
func parseStat(text string) (stat, error) {
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return stat{}, fmt.Errorf("no process name in %q", text)
	}
	fields := strings.Fields(text[end+1:]) // starting with the third field
	const group, firstTime, lastTime = 5 - 3, 14 - 3, 17 - 3
	if len(fields) <= lastTime {
		return stat{}, fmt.Errorf("%d fields after the name in %q", len(fields), text)
	}
	var s stat
	var err error
	if s.group, err = strconv.Atoi(fields[group]); err != nil {
		return stat{}, fmt.Errorf("process group: %w", err)
	}
	for _, field := range fields[firstTime : lastTime+1] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return stat{}, fmt.Errorf("CPU time: %w", err)
		}
		s.cpu += time.Duration(ticks) * tick
	}
	return s, nil
}

// parseResident returns the resident memory, in bytes, from the text of /proc/PID/status. That file is readable for every
// process. smaps would be more exact, but it is not readable for a process that is not dumpable, such as the broker.
func parseResident(text string) (int64, error) {
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		number, ok := strings.CutSuffix(strings.TrimSpace(value), " kB")
		if !ok {
			return 0, fmt.Errorf("resident memory is not in kB: %q", line)
		}
		kilobytes, err := strconv.ParseInt(number, 10, 64)
		return kilobytes << 10, err
	}
	return 0, nil // a zombie has no memory
}
