package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// TestInterceptBrokerDoesNotFindItself: the hosts file leads the broker itself to the broker. The error names the variable that
// prevents it, and with that variable requests reach the API.
func TestInterceptBrokerDoesNotFindItself(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	const variable = "BROKER_UPSTREAM_RESOLVER"
	r := startRealNames(t)
	for _, test := range []struct {
		name, loginHost string
		environ         []string
		status          int
	}{
		{"both names lead to the broker", realLoginHost, []string{variable + "="}, http.StatusServiceUnavailable},
		{"the API's name leads to the broker", strings.TrimPrefix(r.login.url, "https://"), []string{variable + "="}, http.StatusBadGateway},
		{"with a resolver", realLoginHost, nil, http.StatusOK},
	} {
		environ, caFile := r.byName(t)
		if test.loginHost != realLoginHost {
			ca, file := createCA(t, realAPIHost, test.loginHost)
			environ, caFile = append(environ, ca, "ETRUSTED_TOKEN_URL="+r.login.tokenURL()), file
		}
		// On a machine that trusts the broker's CA, only the broker itself can notice.
		trustBoth := "SSL_CERT_FILE=" + tempFile(t, readFile(t, caFile)+readFile(t, r.ca.certFile))
		b := r.testServers.startBroker(t, slices.Concat(r.environ(), environ, []string{"BROKER_TOKEN_WAIT=0", trustBoth}, test.environ)...)
		if test.status != http.StatusServiceUnavailable {
			b.waitForToken()
		}
		b.client = interceptedClient(t, caFile)
		got := b.get("https://" + realAPIHost + "/reviews?count=1")
		if got.Status != test.status || strings.Contains(got.Body, variable) != (test.status != http.StatusOK) {
			t.Errorf("%s: got %d %s, want %d, and the hint to set %s unless it is 200", test.name, got.Status, got.Body, test.status, variable)
		}
		b.stop() // the next one needs its port
	}
}

// interceptedClient returns a client that trusts only the broker's CA.
func interceptedClient(t *testing.T, caFile string) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(readFile(t, caFile)))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}
	return &http.Client{Transport: transport, Timeout: brokertest.Timeout}
}
