package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// grace is how long a program may take to end once it was asked to.
const grace = 5 * time.Second

// Command is what to start.
type Command struct {
	Path string
	Args []string
	Env  []string // all of it: nothing of the bench's own environment may configure a contender
	Dir  string
}

// Group is a running program: a process and all that it has started.
type Group struct {
	command *exec.Cmd
	log     *tail
	ended   chan struct{}
}

// Start runs a program in a process group of its own: so what it costs can be told from what others do, Ctrl-C reaches the
// bench alone, and the bench ends all of it.
func Start(c Command) (*Group, error) {
	g := &Group{command: exec.Command(c.Path, c.Args...), log: &tail{}, ended: make(chan struct{})}
	g.command.Env, g.command.Dir = c.Env, c.Dir
	g.command.Stdout, g.command.Stderr = g.log, g.log
	g.command.WaitDelay = 100 * time.Millisecond // a process of the group that outlives its leader holds the log open
	// SIGTERM and not SIGKILL if the bench dies: nginx's workers would outlive a killed master.
	g.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := g.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = g.command.Wait() // ProcessState tells
		close(g.ended)
	}()
	return g, nil
}

// Ended is closed when the program has ended.
func (g *Group) Ended() <-chan struct{} { return g.ended }

// Log returns the end of what the program has written.
func (g *Group) Log() string { return g.log.String() }

// Stop ends the program, and all of its group.
func (g *Group) Stop() {
	_ = syscall.Kill(-g.command.Process.Pid, syscall.SIGTERM) // it may have ended by itself
	select {
	case <-g.ended:
	case <-time.After(grace):
	}
	// Whatever is left of the group, even if its leader has gone.
	_ = syscall.Kill(-g.command.Process.Pid, syscall.SIGKILL)
	<-g.ended
}

// CPU returns the CPU time, user and system, that all the group's processes have used.
func (g *Group) CPU() (time.Duration, error) {
	var sum time.Duration
	err := g.each(func(_ string, s stat) error {
		sum += s.cpu
		return nil
	})
	return sum, err
}

// Resident returns the sum of the resident memory of all the group's processes, in bytes. What they share counts for
// each: that is what a memory limit's reader sees in ps, and it is unkind to those with many processes.
func (g *Group) Resident() (int64, error) {
	var sum int64
	err := g.each(func(folder string, _ stat) error {
		text, err := os.ReadFile(filepath.Join(folder, "status"))
		if err != nil {
			return err
		}
		resident, err := parseResident(string(text))
		sum += resident
		return err
	})
	return sum, err
}

// each calls visit for each process of the group. That there is none is an error: the program has ended.
func (g *Group) each(visit func(folder string, s stat) error) error {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	found := false
	for _, folder := range folders {
		text, err := os.ReadFile(filepath.Join(folder, "stat"))
		if gone(err) {
			continue // between the listing and now
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
		if err := visit(folder, s); err != nil && !gone(err) {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%s has ended; it said:\n%s", g.command.Path, g.Log())
	}
	return nil
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// maxTail is enough for an error message and what led to it.
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
