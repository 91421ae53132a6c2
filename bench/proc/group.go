package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// stopTimeout limits how long a program may take to exit after SIGTERM.
const stopTimeout = 5 * time.Second

// Command describes a program to start.
type Command struct {
	Path string
	Args []string
	Env  []string // complete: the benchmark's own environment must not configure a proxy
	Dir  string
	// Output receives the program's output too, if it is not nil. Its writer must not fail.
	Output io.Writer
}

// Group is a running program: a process and all its descendants.
type Group struct {
	command *exec.Cmd
	log     *tail
	exited  chan struct{}
}

// Start starts a program in its own process group. So its cost can be measured separately, Ctrl-C reaches only the
// benchmark, and Stop reaches all of the program's processes.
func Start(c Command) (*Group, error) {
	g := &Group{command: exec.Command(c.Path, c.Args...), log: &tail{}, exited: make(chan struct{})}
	g.command.Env, g.command.Dir = c.Env, c.Dir
	var output io.Writer = g.log
	if c.Output != nil {
		output = io.MultiWriter(g.log, c.Output)
	}
	g.command.Stdout, g.command.Stderr = output, output
	g.command.WaitDelay = 100 * time.Millisecond // a process that outlives the group's leader keeps the log's pipe open
	// If the benchmark dies, SIGTERM and not SIGKILL: nginx's workers would outlive a killed master.
	g.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := g.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = g.command.Wait() // the exit status does not matter
		close(g.exited)
	}()
	return g, nil
}

// Exited returns a channel that is closed when the group's leader has exited.
func (g *Group) Exited() <-chan struct{} { return g.exited }

// Log returns the end of the program's output.
func (g *Group) Log() string { return g.log.String() }

// Signal sends a signal to all processes of the group, if they have not exited.
func (g *Group) Signal(s syscall.Signal) { _ = syscall.Kill(-g.command.Process.Pid, s) }

// Stop ends all processes of the group.
func (g *Group) Stop() {
	_ = syscall.Kill(-g.command.Process.Pid, syscall.SIGTERM) // fails if the program has already exited
	select {
	case <-g.exited:
	case <-time.After(stopTimeout):
	}
	// Kill the rest of the group, even if its leader has exited.
	_ = syscall.Kill(-g.command.Process.Pid, syscall.SIGKILL)
	<-g.exited
}

// CPU returns the user and system CPU time that all processes of the group have used.
func (g *Group) CPU() (time.Duration, error) {
	var sum time.Duration
	err := g.eachProcess(func(_ string, s stat) error {
		sum += s.cpu
		return nil
	})
	return sum, err
}

// Resident returns the sum of the resident memory of all processes of the group, in bytes. Shared pages count for each process,
// as in ps. That is a disadvantage for programs with many processes.
func (g *Group) Resident() (int64, error) {
	var sum int64
	err := g.eachProcess(func(dir string, _ stat) error {
		text, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil {
			return err
		}
		resident, err := parseResident(string(text))
		sum += resident
		return err
	})
	return sum, err
}

// eachProcess calls visit for each process of the group. It returns an error if there are no processes, because the program
// has exited.
func (g *Group) eachProcess(visit func(dir string, s stat) error) error {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	found := false
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, "stat"))
		if processGone(err) {
			continue // it exited after the listing
		}
		if err != nil {
			return err
		}
		s, err := parseStat(string(text))
		if err != nil {
			return err
		}
		if s.group != g.command.Process.Pid {
			continue
		}
		found = true
		if err := visit(dir, s); err != nil && !processGone(err) {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%s has exited; its output:\n%s", g.command.Path, g.Log())
	}
	return nil
}

func processGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// tail is an io.Writer that keeps the last maxTail bytes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// maxTail is enough for an error message and its context.
const maxTail = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - maxTail; extra > 0 {
		t.text = bytes.Clone(t.text[extra:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
