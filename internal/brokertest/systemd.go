package brokertest

import (
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Systemd is systemd's end of the notify socket.
type Systemd struct {
	Conn *net.UnixConn
	Path string

	mu       sync.Mutex
	messages []string
}

// NewSystemd opens a notify socket. Call start or read to receive messages.
func NewSystemd(t *testing.T) *Systemd {
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
	return &Systemd{Conn: conn, Path: path}
}

// Start receives messages until the end of the test.
func (s *Systemd) Start() *Systemd {
	go func() {
		for s.Read() {
			continue
		}
	}()
	return s
}

func (s *Systemd) Read() bool {
	message := make([]byte, 8192)
	n, err := s.Conn.Read(message)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, string(message[:n]))
	return true
}

func (s *Systemd) Environ() string { return "NOTIFY_SOCKET=" + s.Path }

// Messages returns all messages so far.
func (s *Systemd) Messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.messages...)
}

// Count returns the number of lines so far with that prefix.
func (s *Systemd) Count(prefix string) (n int) {
	for _, message := range s.Messages() {
		for line := range strings.SplitSeq(message, "\n") {
			if strings.HasPrefix(line, prefix) {
				n++
			}
		}
	}
	return n
}

// Status returns the text that `systemctl status` would show now.
func (s *Systemd) Status() (text string) {
	for _, message := range s.Messages() {
		for line := range strings.SplitSeq(message, "\n") {
			if after, ok := strings.CutPrefix(line, "STATUS="); ok {
				text = after
			}
		}
	}
	return text
}

func (s *Systemd) MustNotHave(t *testing.T, canaries ...string) {
	t.Helper()
	said := strings.Join(s.Messages(), "\n")
	for _, canary := range canaries {
		if strings.Contains(said, canary) {
			t.Errorf("the messages contain %q: %s", canary, said)
		}
	}
}
