package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// tab is the page of a Chromium that a test controls over the DevTools protocol: NUL-terminated JSON through two pipes. With a port
// instead, other processes could control it too.
type tab struct {
	t       *testing.T
	write   *os.File
	read    *os.File
	reader  *bufio.Reader // of read
	session string
	lastID  int
	events  []message
}

// message is a message from Chromium: the response to the call with that ID, or an event.
type message struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// openTab starts a Chromium with an empty page, and enables the events that tests read. It runs until the test ends.
func openTab(t *testing.T) *tab {
	t.Helper()
	needChromium(t)
	toChromium, write := pipe(t)
	read, fromChromium := pipe(t)
	cmd := chromiumCommand(t.Context(), t, "--remote-debugging-pipe", "--hide-scrollbars", "about:blank")
	cmd.ExtraFiles = []*os.File{toChromium, fromChromium} // it reads from 3 and writes to 4
	brokertest.StartProcess(t, cmd, dbusErrors)
	_, _ = toChromium.Close(), fromChromium.Close()
	p := &tab{t: t, write: write, read: read, reader: bufio.NewReader(read)}
	var created struct{ TargetID string }
	p.call("Target.createTarget", map[string]any{"url": "about:blank"}, &created)
	var attached struct{ SessionID string }
	p.call("Target.attachToTarget", map[string]any{"targetId": created.TargetID, "flatten": true}, &attached)
	p.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Accessibility", "Audits"} {
		p.call(domain+".enable", nil, nil)
	}
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

// call calls a method of the DevTools protocol and decodes its result into result, unless that is nil. It collects the events that
// arrive before the result.
func (p *tab) call(method string, parameters, result any) {
	p.t.Helper()
	p.lastID++
	text, err := json.Marshal(struct {
		ID      int    `json:"id"`
		Method  string `json:"method"`
		Params  any    `json:"params,omitempty"`
		Session string `json:"sessionId,omitempty"`
	}{p.lastID, method, parameters, p.session})
	if err == nil {
		_, err = p.write.Write(append(text, 0))
	}
	if err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
	received := p.receive()
	for ; received.ID != p.lastID; received = p.receive() {
		p.events = append(p.events, received)
	}
	if received.Error != nil {
		p.t.Fatalf("%s: %s", method, received.Error.Message)
	}
	if result != nil {
		if err := json.Unmarshal(received.Result, result); err != nil {
			p.t.Fatalf("%s: %v", method, err)
		}
	}
}

// receive waits for the next message.
func (p *tab) receive() (received message) {
	p.t.Helper()
	_ = p.read.SetReadDeadline(time.Now().Add(brokertest.Timeout))
	text, err := p.reader.ReadBytes(0)
	if err == nil {
		err = json.Unmarshal(text[:len(text)-1], &received)
	}
	if err != nil {
		p.t.Fatalf("reading from Chromium: %v", err)
	}
	return received
}
