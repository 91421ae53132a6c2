package intercept_test

import (
	"os/exec"
	"strings"
	"testing"

	"etrusted-broker/proxy/intercept"
)

// TestInstructions has a path that would do something if it were not quoted.
func TestInstructions(t *testing.T) {
	t.Parallel()
	path := `/it's a "folder"/$(touch x)/ca.crt`
	text := intercept.Instructions(path)
	var assignment string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "CA=") {
			assignment = line
		}
		if line != strings.TrimRight(line, " \t") || len(line) > 220 {
			t.Errorf("line %q", line)
		}
	}
	for _, word := range []string{"curl.cainfo", "CURLOPT_CAINFO", "keytool -importcert", "javax.net.ssl.trustStore", "https.proxyHost", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NO_PROXY", "never"} {
		if !strings.Contains(text, word) {
			t.Errorf("no %s", word)
		}
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell here")
	}
	out, err := exec.Command(sh, "-c", assignment+"\n"+`printf %s "$CA"`).CombinedOutput()
	if err != nil || string(out) != path {
		t.Errorf("%v: a shell reads %s", err, out)
	}
}
