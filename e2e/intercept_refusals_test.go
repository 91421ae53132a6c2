package e2e

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// TestInterceptRefusesOtherNames: who reaches the listener under another name, or asks for another host than in SNI, gets nothing.
func TestInterceptRefusesOtherNames(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	r := startRealNames(t)
	environ, caFile := r.byName(t)
	b := r.startBroker(t, environ...)
	b.client = interceptedClient(t, caFile)
	for name, host := range map[string]string{realAPIHost: realLoginHost, realLoginHost: realAPIHost} {
		request, err := http.NewRequest(http.MethodGet, "https://"+name+"/reviews?count=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		if got := brokertest.ReadResponse(b.client.Do(request)); got.Status != http.StatusMisdirectedRequest {
			t.Errorf("SNI %s and Host %s: got %d (%v), want 421", name, host, got.Status, got.Err)
		}
	}
	for _, name := range []string{"shop.example", "127.0.0.1"} { // an address is never sent as SNI
		conn, err := tls.Dial("tcp", "127.0.0.1:443", &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("TLS for %s: got %v and %v, want the alert unrecognized_name", name, conn, err)
		}
	}
	brokertest.Eventually(t, "both handshakes are counted", func() bool { // which is after the alert
		return b.metric("requests_denied_total", `reason="handshake"`) == 2
	})
	if got := r.rawRequests(); len(got) != 0 {
		t.Errorf("the API received %q, want nothing", got)
	}
}

// TestInterceptRefusesBrowsers: a page gets nothing from the listener on port 443, whether its own name has been rebound to the
// broker's address or it uses the API's name, even in a browser that accepts every certificate.
func TestInterceptRefusesBrowsers(t *testing.T) {
	t.Parallel()
	needChromium(t)
	if !inNamespace(t) {
		return
	}
	r := startRealNames(t)
	environ, _ := r.byName(t)
	b := r.startBroker(t, environ...)
	hosts := []string{"rebind.test", realAPIHost}
	var attacks []pageAttack
	for _, host := range hosts {
		for _, attack := range attacksOn(host, "http://127.0.0.1:443", "browser") {
			attack.step.URL = "https://" + host + attack.path
			attacks = append(attacks, attack)
		}
	}
	flags := []string{"--ignore-certificate-errors", "--host-resolver-rules=MAP *.test 127.0.0.1, MAP " + realAPIHost + " 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"}
	visitPage(t, "attacker.test", attacks, func(results []stepResult) {
		b.wantDenied(attacks[len(techniques):])
		for i, attack := range attacks {
			if results[i].Read != "" && !strings.Contains(results[i].Read, "ERR_") { // the browser's own error page
				t.Errorf("%s: the page read %q, want nothing", attack.step.URL, results[i].Read)
			}
			if i < len(techniques) && len(b.denialReasons(attack.path)) != 0 {
				t.Errorf("%s: the request was answered, want a TLS alert", attack.step.URL)
			}
		}
	}, flags...)
	if got := b.metric("requests_denied_total", `reason="handshake"`); got == 0 {
		t.Error("no TLS handshake was refused, so the page's requests did not reach the broker")
	}
	if got := r.rawRequests(); len(got) != 0 {
		t.Errorf("the API received %q, want nothing", got)
	}
}
