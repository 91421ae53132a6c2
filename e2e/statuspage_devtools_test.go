package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// devtools controls a Chromium over the DevTools protocol: NUL-terminated JSON through two pipes. With a port instead, other
// processes could control it too.
type devtools struct {
	write   *os.File
	session string

	mu      sync.Mutex
	lastID  int
	pending map[int]chan message
	events  []message
	ended   bool
}

// tab is the page of a Chromium, for one test.
type tab struct {
	*devtools
	t *testing.T
}

// forTest returns the same tab for a subtest.
func (p *tab) forTest(t *testing.T) *tab { return &tab{p.devtools, t} }

// message is a message from Chromium: the response to the call with that ID, or an event.
type message struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// openTab starts a Chromium with an empty page. It runs until the test ends.
func openTab(t *testing.T) *tab {
	t.Helper()
	toChromium, write := pipe(t)
	read, fromChromium := pipe(t)
	profile := t.TempDir()
	flags := append([]string{"--user-data-dir=" + profile, "--remote-debugging-pipe"}, chromiumFlags...)
	cmd := exec.Command(chromium(), append(flags, "--hide-scrollbars", "about:blank")...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + profile}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to kill all of its processes at once
	cmd.ExtraFiles = []*os.File{toChromium, fromChromium} // it reads from 3 and writes to 4
	output := &brokertest.LogBuffer{}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.WaitDelay = waitTimeout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = toChromium.Close(), fromChromium.Close()
	p := &tab{&devtools{write: write, pending: map[int]chan message{}}, t}
	readerDone := make(chan struct{})
	go func() {
		p.readMessages(read)
		close(readerDone)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		<-readerDone
		if t.Failed() {
			t.Logf("Chromium wrote:\n%s", withoutDBus(output.String()))
		}
	})
	p.attach()
	return p
}

func pipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = read.Close(), write.Close() })
	return read, write
}

// attach creates a page, attaches to it and enables the events that tests read.
func (p *tab) attach() {
	p.t.Helper()
	var created struct{ TargetID string }
	p.call("Target.createTarget", map[string]any{"url": "about:blank"}, &created)
	var attached struct{ SessionID string }
	p.call("Target.attachToTarget", map[string]any{"targetId": created.TargetID, "flatten": true}, &attached)
	p.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Accessibility", "Audits"} {
		p.call(domain+".enable", nil, nil)
	}
}

// readMessages delivers responses to their callers and collects events, until Chromium has exited.
func (p *devtools) readMessages(from *os.File) {
	for reader := bufio.NewReader(from); ; {
		text, err := reader.ReadBytes(0)
		var received message
		if err == nil {
			err = json.Unmarshal(text[:len(text)-1], &received)
		}
		p.mu.Lock()
		switch caller, isResponse := p.pending[received.ID]; {
		case err != nil:
			p.ended = true
			for _, caller := range p.pending {
				close(caller)
			}
			p.mu.Unlock()
			return
		case isResponse:
			caller <- received
			delete(p.pending, received.ID)
		default:
			p.events = append(p.events, received)
		}
		p.mu.Unlock()
	}
}

// call calls a method of the DevTools protocol and decodes its result into result, unless that is nil.
func (p *tab) call(method string, parameters, result any) {
	p.t.Helper()
	if err := p.tryCall(method, parameters, result); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
}

// tryCall is call with an error instead of a failed test.
func (p *devtools) tryCall(method string, parameters, result any) error {
	id, reply, err := p.send(method, parameters)
	if err != nil {
		return err
	}
	select {
	case got, ok := <-reply:
		switch {
		case !ok:
			return errors.New("Chromium has exited")
		case got.Error != nil:
			return errors.New(got.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(got.Result, result)
	case <-time.After(waitTimeout):
		return fmt.Errorf("no response to call %d within %v", id, waitTimeout)
	}
}

// send sends a call. The returned channel gets the response, or is closed when Chromium exits.
func (p *devtools) send(method string, parameters any) (int, <-chan message, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return 0, nil, errors.New("Chromium has exited")
	}
	p.lastID++
	call := map[string]any{"id": p.lastID, "method": method}
	if parameters != nil {
		call["params"] = parameters
	}
	if p.session != "" {
		call["sessionId"] = p.session
	}
	text, err := json.Marshal(call)
	if err != nil {
		return 0, nil, err
	}
	reply := make(chan message, 1)
	p.pending[p.lastID] = reply
	_, err = p.write.Write(append(text, 0))
	return p.lastID, reply, err
}
