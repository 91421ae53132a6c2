package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// machine describes the machine of a run. It omits the host name, because the results are published.
type machine struct {
	CPU    string
	Cores  int
	Memory string
	OS     string
	Kernel string
	Go     string
	Load   float64 // the load average of the minute before the run
}

func thisMachine() machine {
	m := machine{
		CPU:   fileField("/proc/cpuinfo", "model name", ":"),
		Cores: runtime.NumCPU(),
		OS:    strings.Trim(fileField("/etc/os-release", "PRETTY_NAME", "="), `"`),
		Go:    strings.TrimPrefix(runtime.Version(), "go"),
	}
	var kilobytes int64
	if _, err := fmt.Sscanf(fileField("/proc/meminfo", "MemTotal", ":"), "%d kB", &kilobytes); err == nil {
		m.Memory = fmt.Sprintf("%d GB", (kilobytes<<10+5e8)/1e9)
	}
	var name syscall.Utsname
	if syscall.Uname(&name) == nil {
		m.Kernel = cString(name.Release[:])
	}
	if average, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(average), &m.Load) // 0 if it is not known
	}
	return m
}

// description returns the sentence for the results.
func (m machine) description() string {
	return fmt.Sprintf("The machine: %d cores of %s, %s of memory, %s, Linux %s, Go %s; its load average before the run was %.2f. "+
		"Load generator, proxy and API share the cores.", m.Cores, m.CPU, m.Memory, m.OS, m.Kernel, m.Go, m.Load)
}

// fileField returns the value of the first line of a file that has this name before the separator, or "?" without such a line.
func fileField(file, name, separator string) string {
	all, err := os.ReadFile(file)
	if err != nil {
		return "?"
	}
	for line := range strings.Lines(string(all)) {
		key, value, ok := strings.Cut(line, separator)
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "?"
}

// cString converts a C string, whose elements are signed on some architectures and unsigned on others.
func cString[T int8 | uint8](c []T) string {
	var b strings.Builder
	for _, char := range c {
		if char == 0 {
			break
		}
		b.WriteByte(byte(char))
	}
	return b.String()
}
