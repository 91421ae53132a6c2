// Package proc starts programs and reads what they cost from Linux's own accounting.
package proc

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc/PID/stat. USER_HZ is 100 on every architecture that Go runs on; the kernel sums
// nanoseconds and rounds when it prints, so it is an error of 10 ms for each reading, not for each slice of time.
const tick = 10 * time.Millisecond

// stat is what the bench wants from /proc/PID/stat.
type stat struct {
	group int
	cpu   time.Duration // user and system, of the process and of its children that have ended
}

// parseStat reads a /proc/PID/stat: proc_pid_stat(5). The name in its second field may hold blanks and parentheses.
func parseStat(text string) (stat, error) {
	end := strings.LastIndexByte(text, ')')
	if end < 0 {
		return stat{}, fmt.Errorf("no process name in %q", text)
	}
	fields := strings.Fields(text[end+1:]) // from the third on
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

// parseResident reads the resident memory, in bytes, from a /proc/PID/status. That file can be read of every process,
// where smaps, which would be more exact, cannot of one that has made itself undumpable: the broker.
func parseResident(text string) (int64, error) {
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		number, ok := strings.CutSuffix(strings.TrimSpace(value), " kB")
		if !ok {
			return 0, fmt.Errorf("resident memory in another unit: %q", line)
		}
		kilobytes, err := strconv.ParseInt(number, 10, 64)
		return kilobytes << 10, err
	}
	return 0, nil // a zombie has none
}
