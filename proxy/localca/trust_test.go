package localca_test

import (
	"os/exec"
	"strings"
	"testing"

	"etrusted-broker/proxy/localca"
)

// Unquoted, the path would run a command.
func TestTrustInstructionsQuotePath(t *testing.T) {
	t.Parallel()
	path := `/it's a "directory"/$(touch x)/ca.crt`
	text := localca.AppTrustInstructions(path)
	var assignment string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "CA=") {
			assignment = line
		}
		if line != strings.TrimRight(line, " \t") || len(line) > 220 {
			t.Errorf("line %q, want no trailing space and at most 220 bytes", line)
		}
	}
	for _, word := range []string{"curl.cainfo", "CURLOPT_CAINFO", "keytool -importcert", "javax.net.ssl.trustStore", "https.proxyHost", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NO_PROXY", "never"} {
		if !strings.Contains(text, word) {
			t.Errorf("instructions do not contain %s", word)
		}
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("sh is not installed")
	}
	out, err := exec.Command(sh, "-c", assignment+"\n"+`printf %s "$CA"`).CombinedOutput()
	if err != nil || string(out) != path {
		t.Errorf("sh reads %s (%v), want %s", out, err, path)
	}
}
