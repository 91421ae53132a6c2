package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestStatusPagePictures takes the pictures of the status page in the README: of the demo, and of a broker with a wrong secret.
// It runs only if STATUS_PICTURE_AFTER is set, for example to 10m: the time for which the demo runs before its picture is
// taken. The longer it is, the more the page shows.
func TestStatusPagePictures(t *testing.T) {
	after, err := time.ParseDuration(os.Getenv("STATUS_PICTURE_AFTER"))
	if err != nil {
		t.Skip("STATUS_PICTURE_AFTER is not set to a duration: the pictures in docs/pictures stay as they are")
	}
	p := openTab(t)
	picture := func(url, name, heading string, height int) {
		p.open(url, viewMode{width: 860, height: height})
		p.wantShown("heading", heading)
		p.screenshot(filepath.Join("..", "docs", "pictures", name), 860, float64(height))
	}
	servers := startTestServers(t, time.Minute)
	rejected := servers.startBroker(t, "ETRUSTED_CLIENT_SECRET="+servers.newSecret())
	rejected.get(rejected.appURL + "/channels")
	picture(rejected.adminURL, "status-rejected.png", "Requests fail: the credentials do not work.", 880)

	b := servers.startCommand(t, exec.Command(brokerBinary, "demo"), "ETRUSTED_API_URL=", "ETRUSTED_TOKEN_URL=", "ETRUSTED_AUDIENCE=",
		"ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "BROKER_LOG_LEVEL=info")
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
	picture(b.adminURL, "status.png", "Everything works.", 1290)
}
