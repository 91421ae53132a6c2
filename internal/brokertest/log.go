package brokertest

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"sync"
)

// LogBuffer is a buffer that one goroutine may read while others write. The zero value is empty.
type LogBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends p to the buffer. It never fails.
func (b *LogBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns everything written so far.
func (b *LogBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Lines returns the JSON log lines written so far with that message, decoded. It skips lines that are not JSON.
func (b *LogBuffer) Lines(message string) []map[string]any {
	var found []map[string]any
	for text := range strings.Lines(b.String()) {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// URLs returns the URLs of both listeners, without a final slash, once the log has them. A listener that is off, or that
// is a Unix socket, has none.
func (b *LogBuffer) URLs() (app, admin string, ok bool) {
	lines := b.Lines("listening")
	if len(lines) == 0 {
		return "", "", false
	}
	return listenerURL(lines[0]["app"]), listenerURL(lines[0]["admin"]), true
}

func listenerURL(address any) string {
	text, _ := address.(string)
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "" // "off"
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
