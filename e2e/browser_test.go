package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// apiBody is the body of every successful response of apiServer and unprotectedAPI.
const apiBody = `{"ok":true}`

// faviconPath is what Chromium requests on its own for a window that a page has opened. It labels this request same-origin,
// although a page of another origin caused it.
const faviconPath = "/favicon.ico"

// requestTechnique is a way in which a page can make its browser send a request: see testdata/page.js.
type requestTechnique struct {
	name               string
	readableWithCORS   bool // the page can read a response that allows it with CORS headers
	readableSameOrigin bool // the page can read a response from its own origin
}

// techniques are the ways that Chromium allows, with the flags that these tests pass to it.
var techniques = []requestTechnique{
	{"fetch GET cors", true, true},
	{"fetch GET no-cors", false, true},
	{"fetch POST cors", true, true},
	{"fetch POST no-cors", false, true},
	{"fetch preflight", true, true},
	{"XMLHttpRequest", true, true},
	{"form GET", false, true},
	{"form POST", false, true},
	{"image", false, false},
	{"script", false, false},
	{"stylesheet", false, false},
	{"prefetch", false, false},
	{"iframe", false, true},
	{"WebSocket", false, false},
	{"EventSource", false, false},
	{"beacon", false, false},
	{"ping", false, false},
	{"window", false, false},
	{"redirected image", false, false},
	{"redirected form POST", false, true},
}

// pageAttack is a technique that a page tries on one server.
type pageAttack struct {
	requestTechnique
	path       string // of its request
	wantReason string // why the broker must refuse it
	step       pageStep
}

// pageStep is what the page's script does. The URL is that of the request, unless the browser sends it because of another one.
type pageStep struct {
	Technique string `json:"technique"`
	URL       string `json:"url"`
}

// attacksOn returns an attack with every technique. Each has its own path, which identifies its request.
func attacksOn(host, address, reason string) []pageAttack {
	var attacks []pageAttack
	for _, technique := range techniques {
		path := "/" + strings.NewReplacer(":", "-", " ", "-").Replace(host+"/"+technique.name)
		attacks = append(attacks, pageAttack{technique, path, reason, pageStep{technique.name, urlAt(host, address) + path}})
	}
	return attacks
}

// urlAt returns the URL of the server at the address, with another host name.
func urlAt(host, address string) string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	return "http://" + net.JoinHostPort(host, port)
}

// foreignHosts returns the host names by which any page can address this machine, and why the broker refuses such a request.
func foreignHosts() map[string]string {
	hosts := map[string]string{
		"localhost": "browser",
		"127.0.0.1": "browser",
		// To this one and the next, Chromium sends no Sec-Fetch-Site, and no Origin with a GET. Only the Host shows that the
		// request comes from a page.
		"0.0.0.0": "host",
	}
	if listener, err := net.Listen("tcp6", "[::]:0"); err == nil { // this machine has IPv6
		_ = listener.Close()
		hosts["::ffff:127.0.0.1"] = "host"
	}
	return hosts
}

func foreignAttacks(address string) []pageAttack {
	var attacks []pageAttack
	for host, reason := range foreignHosts() {
		attacks = append(attacks, attacksOn(host, address, reason)...)
	}
	return attacks
}

// TestBrowserForeignPagesAreRefused: a page of another origin can neither cause a request to the API nor read a response, and
// the app is served meanwhile.
func TestBrowserForeignPagesAreRefused(t *testing.T) {
	t.Parallel()
	needChromium(t)
	t.Run("broker", func(t *testing.T) {
		t.Parallel()
		b := startTestServers(t, time.Minute).startReadyBroker(t)
		attacks := foreignAttacks(b.appURL)
		visitPage(t, "attacker.test", attacks, func(results []stepResult) {
			b.wantDenied(attacks)
			b.wantAppServed()
			for i, attack := range attacks {
				if results[i].Read != "" {
					t.Errorf("%s: the page read %q, want nothing", attack.path, results[i].Read)
				}
			}
		})
		b.wantOnlyAppRequests()
	})
	t.Run("unprotected", func(t *testing.T) {
		t.Parallel()
		upstream := startUnprotectedAPI(t)
		attacks := foreignAttacks(startUnprotectedProxy(t, upstream.url))
		visitPage(t, "attacker.test", attacks, func(results []stepResult) {
			upstream.wantReached(t, attacks, faviconPath)
			for i, attack := range attacks {
				if got, want := strings.Contains(results[i].Read, apiBody), attack.readableWithCORS; got != want {
					t.Errorf("%s: the page read %q; the API's response in it: got %v, want %v", attack.path, results[i].Read, got, want)
				}
			}
		})
	})
}

// TestBrowserDNSRebindingIsRefused: the same for a page whose host name resolves to the broker by the time of its attacks. To
// the browser the page then has the broker's origin and may do everything.
func TestBrowserDNSRebindingIsRefused(t *testing.T) {
	t.Parallel()
	needChromium(t)
	t.Run("broker", func(t *testing.T) {
		t.Parallel()
		b := startTestServers(t, time.Minute).startReadyBroker(t)
		name := startReboundName(t)
		attacks := attacksOn("rebind.test", name.addr, "host")
		name.visit(t, b.appURL, attacks, func(results []stepResult) {
			b.wantDenied(attacks)
			b.wantAppServed()
			for i, attack := range attacks {
				if strings.Contains(results[i].Read, apiBody) { // it may read the refusal
					t.Errorf("%s: the page read %q, want at most the refusal", attack.path, results[i].Read)
				}
			}
		})
		b.wantOnlyAppRequests()
	})
	t.Run("unprotected", func(t *testing.T) {
		t.Parallel()
		upstream := startUnprotectedAPI(t)
		name := startReboundName(t)
		attacks := attacksOn("rebind.test", name.addr, "")
		name.visit(t, startUnprotectedProxy(t, upstream.url), attacks, func(results []stepResult) {
			upstream.wantReached(t, attacks, faviconPath)
			for i, attack := range attacks {
				if got, want := strings.Contains(results[i].Read, apiBody), attack.readableSameOrigin; got != want {
					t.Errorf("%s: the page read %q; the API's response in it: got %v, want %v", attack.path, results[i].Read, got, want)
				}
			}
		})
	})
}

// wantDenied waits until the request of each attack is in the log, and fails the test unless each was refused for the
// expected reason and counted.
func (b *broker) wantDenied(attacks []pageAttack) {
	b.t.Helper()
	counts := map[string]float64{}
	for _, attack := range attacks {
		counts[attack.wantReason]++
		var reasons []string
		brokertest.Eventually(b.t, attack.path+" reaches the broker", func() bool {
			reasons = b.denialReasons(attack.path)
			return len(reasons) > 0
		})
		if slices.ContainsFunc(reasons, func(reason string) bool { return reason != attack.wantReason }) {
			b.t.Errorf("%s: got refused for %q, want %q", attack.path, reasons, attack.wantReason)
		}
	}
	windows := len(attacks) / len(techniques)
	brokertest.Eventually(b.t, "the icon of each window is requested", func() bool { return len(b.denialReasons(faviconPath)) >= windows })
	brokertest.WaitRecorded(b.t, b.adminURL)
	for reason, want := range counts {
		if got := b.metric("requests_denied_total", `reason="`+reason+`"`); got < want {
			b.t.Errorf("requests_denied_total{reason=%q}: got %v, want at least %v", reason, got, want)
		}
	}
}

// denialReasons returns from the log why each request to the path was refused; "" for one that was not.
func (b *broker) denialReasons(path string) []string {
	var reasons []string
	for line := range strings.Lines(b.Output.String()) {
		var entry struct{ Msg, Path, Denied string }
		if strings.Contains(line, path) && json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "request" && entry.Path == path {
			reasons = append(reasons, entry.Denied)
		}
	}
	return reasons
}

// wantAppServed fails the test unless the app's request succeeds.
func (b *broker) wantAppServed() {
	b.t.Helper()
	if got := b.get(b.appURL + "/channels"); got.Status != http.StatusOK || got.Body != apiBody {
		b.t.Errorf("the app got %d %s, want 200 %s", got.Status, got.Body, apiBody)
	}
}

// wantOnlyAppRequests fails the test if the API received any request that is not the app's.
func (b *broker) wantOnlyAppRequests() {
	b.t.Helper()
	for _, request := range b.servers.api.requests() {
		if request.path != "/channels" {
			b.t.Errorf("the API received %s %s, want only the app's requests", request.method, request.path)
		}
	}
}
