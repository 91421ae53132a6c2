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

// TestStatusPagePicture takes the picture of the status page in the README, from the demo. It runs only if
// STATUS_PICTURE_AFTER is set, for example to 10m: the time for which the demo runs before the picture is taken. The longer
// it is, the more the page shows.
func TestStatusPagePicture(t *testing.T) {
	after, err := time.ParseDuration(os.Getenv("STATUS_PICTURE_AFTER"))
	if err != nil {
		t.Skip("STATUS_PICTURE_AFTER is not set to a duration: docs/pictures/status.png stays as it is")
	}
	needChromium(t)
	b := startDemo(t)
	for began, i := time.Now(), 0; time.Since(began) < after; i++ {
		path := "/channels"
		switch {
		case i%40 == 7:
			path = "/nowhere"
		case i%3 == 0:
			path = "/reviews?count=2"
		}
		b.get(b.appURL + path)
		time.Sleep(100*time.Millisecond + time.Duration(i%13)*20*time.Millisecond)
	}
	p := openTab(t)
	p.open(b.adminURL, viewMode{width: 860, height: 800, scripts: true})
	p.wantShown("heading", "Everything works.")
	p.wantState("healthy")
	_, height := p.pageSize()
	p.screenshot(filepath.Join("..", "docs", "pictures", "status.png"), 860, height)
}

// startDemo runs "broker demo" until the test ends.
func startDemo(t *testing.T) *broker {
	t.Helper()
	b := &broker{
		t: t, cmd: exec.Command(brokerBinary, "demo"), log: &syncBuffer{}, exited: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{}, Timeout: waitTimeout},
	}
	b.cmd.Env = []string{"BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN=127.0.0.1:0", "BROKER_LOG_FORMAT=json"}
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = b.cmd.Wait()
		close(b.exited)
	}()
	t.Cleanup(func() {
		_ = b.cmd.Process.Signal(syscall.SIGTERM)
		<-b.exited
	})
	eventually(t, waitTimeout, "the demo listens", func() bool { return strings.Contains(b.log.String(), `"listening"`) && b.readAddresses() })
	return b
}
