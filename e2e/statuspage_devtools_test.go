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
)

// devtools is a Chromium that is driven over the DevTools protocol: NUL-terminated JSON through two pipes, so that no port is
// opened by which anybody else could drive it.
type devtools struct {
	write   *os.File
	session string

	mu      sync.Mutex
	last    int
	answers map[int]chan message
	events  []message
	ended   bool
}

// tab is its one page, as a test uses it.
type tab struct {
	*devtools
	t *testing.T
}

// in returns the tab for a subtest.
func (p *tab) in(t *testing.T) *tab { return &tab{p.devtools, t} }

// message is what Chromium says: the answer to the call of that ID, or an event.
type message struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// openTab starts a Chromium with an empty page. It ends with the test.
func openTab(t *testing.T) *tab {
	t.Helper()
	toChromium, write := pipe(t)
	read, fromChromium := pipe(t)
	profile := t.TempDir()
	flags := append([]string{"--user-data-dir=" + profile, "--remote-debugging-pipe"}, chromiumFlags...)
	command := exec.Command(chromium(), append(flags, "--hide-scrollbars", "about:blank")...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + profile}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its many processes end together
	command.ExtraFiles = []*os.File{toChromium, fromChromium} // it reads from 3 and writes to 4
	output := &syncBuffer{}
	command.Stdout, command.Stderr = output, output
	command.WaitDelay = patience
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = toChromium.Close(), fromChromium.Close()
	p := &tab{&devtools{write: write, answers: map[int]chan message{}}, t}
	listened := make(chan struct{})
	go func() {
		p.listen(read)
		close(listened)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait()
		<-listened
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

// attach takes over the page that Chromium opened.
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

// listen hands out what Chromium says, until it has ended.
func (p *devtools) listen(from *os.File) {
	for reader := bufio.NewReader(from); ; {
		text, err := reader.ReadBytes(0)
		var said message
		if err == nil {
			err = json.Unmarshal(text[:len(text)-1], &said)
		}
		p.mu.Lock()
		switch answer, isAnswer := p.answers[said.ID]; {
		case err != nil:
			p.ended = true
			for _, answer := range p.answers {
				close(answer)
			}
			p.mu.Unlock()
			return
		case isAnswer:
			answer <- said
			delete(p.answers, said.ID)
		default:
			p.events = append(p.events, said)
		}
		p.mu.Unlock()
	}
}

// call calls a method of the DevTools protocol. result, if not nil, is filled with what it returns.
func (p *tab) call(method string, parameters, result any) {
	p.t.Helper()
	if err := p.try(method, parameters, result); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
}

func (p *devtools) try(method string, parameters, result any) error {
	id, answer, err := p.send(method, parameters)
	if err != nil {
		return err
	}
	select {
	case got, ok := <-answer:
		switch {
		case !ok:
			return errors.New("Chromium has ended")
		case got.Error != nil:
			return errors.New(got.Error.Message)
		case result == nil:
			return nil
		}
		return json.Unmarshal(got.Result, result)
	case <-afterPatience():
		return fmt.Errorf("no answer to call %d", id)
	}
}

func (p *devtools) send(method string, parameters any) (int, <-chan message, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return 0, nil, errors.New("Chromium has ended")
	}
	p.last++
	call := map[string]any{"id": p.last, "method": method}
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
	answer := make(chan message, 1)
	p.answers[p.last] = answer
	_, err = p.write.Write(append(text, 0))
	return p.last, answer, err
}
