package main

import (
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// fakeSystemd is systemd's end of the notify socket.
type fakeSystemd struct {
	conn *net.UnixConn
	path string

	mu       sync.Mutex
	messages []string
}

// newFakeSystemd opens a notify socket. Call start or read to receive messages.
func newFakeSystemd(t *testing.T) *fakeSystemd {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no datagram Unix sockets on Windows")
	}
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &fakeSystemd{conn: conn, path: path}
}

// start receives messages until the end of the test.
func (s *fakeSystemd) start() *fakeSystemd {
	go func() {
		for s.read() {
			continue
		}
	}()
	return s
}

func (s *fakeSystemd) read() bool {
	message := make([]byte, 8192)
	n, err := s.conn.Read(message)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, string(message[:n]))
	return true
}

func (s *fakeSystemd) environ() string { return "NOTIFY_SOCKET=" + s.path }

// received returns all messages so far.
func (s *fakeSystemd) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.messages...)
}

// count returns the number of lines so far with that prefix.
func (s *fakeSystemd) count(prefix string) (n int) {
	for _, message := range s.received() {
		for line := range strings.SplitSeq(message, "\n") {
			if strings.HasPrefix(line, prefix) {
				n++
			}
		}
	}
	return n
}

// status returns the text that `systemctl status` would show now.
func (s *fakeSystemd) status() (text string) {
	for _, message := range s.received() {
		for line := range strings.SplitSeq(message, "\n") {
			if after, ok := strings.CutPrefix(line, "STATUS="); ok {
				text = after
			}
		}
	}
	return text
}

func (s *fakeSystemd) mustNotHave(t *testing.T, canaries ...string) {
	t.Helper()
	said := strings.Join(s.received(), "\n")
	for _, canary := range canaries {
		if strings.Contains(said, canary) {
			t.Errorf("the messages contain %q: %s", canary, said)
		}
	}
}
