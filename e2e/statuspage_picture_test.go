package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStatusPagePicture takes the picture of the status page that the README shows, from the demo. It is asked for with
// STATUS_PICTURE_AFTER=10m, or whatever time the demo should have run by then: the longer, the more there is to see.
func TestStatusPagePicture(t *testing.T) {
	after, err := time.ParseDuration(os.Getenv("STATUS_PICTURE_AFTER"))
	if err != nil {
		t.Skip("STATUS_PICTURE_AFTER says no time: docs/pictures/status.png stays as it is")
	}
	needChromium(t)
	b := startPictured(t)
	for began, i := time.Now(), 0; time.Since(began) < after; i++ {
		path := "/channels"
		switch {
		case i%40 == 7:
			path = "/nowhere"
		case i%3 == 0:
			path = "/reviews?count=2"
		}
		b.get(b.app + path)
		time.Sleep(100*time.Millisecond + time.Duration(i%13)*20*time.Millisecond)
	}
	p := openTab(t)
	p.open(b.admin, look{width: 860, height: 800, scripts: true})
	p.wantShown("heading", "Everything works.")
	p.wantState("healthy")
	folder := filepath.Join("..", "docs", "pictures")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	_, height := p.size()
	p.clip(filepath.Join(folder, "status.png"), 860, height)
}

// startPictured runs broker demo until the test's end.
func startPictured(t *testing.T) *broker {
	t.Helper()
	b := &broker{
		t: t, command: exec.Command(binary, "demo"), log: &syncBuffer{}, ended: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{}, Timeout: patience},
	}
	b.command.Env = []string{"BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN=127.0.0.1:0", "BROKER_LOG_FORMAT=json"}
	b.command.Stdout, b.command.Stderr = b.log, b.log
	if err := b.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = b.command.Wait()
		close(b.ended)
	}()
	t.Cleanup(func() {
		_ = b.command.Process.Signal(syscall.SIGTERM)
		<-b.ended
	})
	eventually(t, patience, "the demo listens", func() bool { return strings.Contains(b.log.String(), `"listening"`) && b.findAddresses() })
	return b
}
