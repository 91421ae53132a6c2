package brokertest

import (
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Systemd is systemd's end of the notify socket. Its methods may be called by several goroutines.
type Systemd struct {
	Conn *net.UnixConn
	Path string // of the socket

	mu       sync.Mutex
	messages []string
}

// NewSystemd opens a notify socket and closes it when the test ends. Call Start or Read to receive messages. It skips the
// test on Windows.
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

// Start receives messages in the background until the socket is closed. It returns s.
func (s *Systemd) Start() *Systemd {
	go func() {
		for s.Read() {
			continue
		}
	}()
	return s
}

// Read receives one message. It returns false if the socket is closed or its deadline has passed.
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

// Variable returns NOTIFY_SOCKET with its value, for the broker's environment.
func (s *Systemd) Variable() string { return "NOTIFY_SOCKET=" + s.Path }

// Messages returns the messages received so far.
func (s *Systemd) Messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.messages...)
}

// Count returns how many lines received so far have that prefix.
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

// Status returns the last status text, which is what `systemctl status` would show.
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

// CheckNoSecret reports secrets that the messages received so far contain.
func (s *Systemd) CheckNoSecret(t *testing.T, secrets ...string) {
	t.Helper()
	messages := strings.Join(s.Messages(), "\n")
	for _, secret := range secrets {
		if strings.Contains(messages, secret) {
			t.Errorf("the messages contain %q: %s", secret, messages)
		}
	}
}
