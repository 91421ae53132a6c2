package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// TestInterceptPassesOtherHosts: an app that uses the broker as its proxy for all HTTPS hosts reads the reviews, and reaches
// another host, without a token, if BROKER_PASS_HOSTS has it.
func TestInterceptPassesOtherHosts(t *testing.T) {
	t.Parallel()
	app := unmodifiedApp{shell, "curl"}
	app.need(t)
	for passHosts, want := range map[string]string{"127.0.0.1": "401", "": "000"} { // 401: it got no token; 000: no answer
		r := startReviewsServers(t)
		config := viaHTTPSProxy.startBroker(t, r, shell, "BROKER_PASS_HOSTS="+passHosts, "NO_PROXY=127.0.0.1")
		app.run(t, r, config)
		r.wantNoAppCredentials(t)

		cmd := exec.Command("curl", "--silent", "--output", t.TempDir()+"/body", "--write-out", "%{http_code}", "--cacert", r.ca.certFile, r.api.url)
		cmd.Env = config.env
		status, err := cmd.Output()
		if got := strings.TrimSpace(string(status)); got != want {
			t.Errorf("with BROKER_PASS_HOSTS=%s: the other host answered %s (%v), want %s", passHosts, got, err, want)
		}
	}
}
