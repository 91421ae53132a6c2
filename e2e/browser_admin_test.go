package e2e

import (
	"strings"
	"testing"
	"time"
)

// adminMarkers has a text from each page of the admin listener that its refusals do not contain.
var adminMarkers = map[string]string{"/metrics": "etrusted_broker_", "/status.json": "uptime_seconds", "/": "What requests depend on"}

// adminAttacks returns every way to read the response to a GET. The admin listener changes nothing, so reading is the only
// attack.
func adminAttacks(host, address string) []pageAttack {
	var attacks []pageAttack
	for path := range adminMarkers {
		for _, technique := range techniques {
			switch technique.name {
			case "fetch GET cors", "fetch GET no-cors", "XMLHttpRequest", "form GET", "iframe":
				attacks = append(attacks, pageAttack{technique, path, "", pageStep{technique.name, urlAt(host, address) + path}})
			}
		}
	}
	return attacks
}

// usesFrame reports whether the technique shows the response in a frame. The admin listener's pages forbid that, so no page
// can read them that way, not even one of the same origin.
func (t requestTechnique) usesFrame() bool { return t.name == "iframe" || t.name == "form GET" }

// TestBrowserPagesCannotReadAdminListener tries it from a page of another origin, and from one whose host name resolves to the
// admin listener (DNS rebinding). The same attacks through an unprotected proxy succeed, which proves that they work.
func TestBrowserPagesCannotReadAdminListener(t *testing.T) {
	t.Parallel()
	needChromium(t)
	b := startTestServers(t, time.Minute).startReadyBroker(t)
	unprotected := startUnprotectedProxy(t, b.adminURL)
	foreign := func(t *testing.T, address string, wantRead func(pageAttack) bool) {
		t.Parallel()
		var attacks []pageAttack
		for host := range foreignHosts() {
			attacks = append(attacks, adminAttacks(host, address)...)
		}
		visitPage(t, "attacker.test", attacks, func(results []stepResult) {
			for i, attack := range attacks {
				wantReadable(t, attack, results[i], wantRead(attack))
				if !wantRead(attack) && results[i].Read != "" {
					t.Errorf("%s by %s: the page read %q, want nothing", attack.step.URL, attack.name, results[i].Read)
				}
			}
		})
	}
	rebound := func(t *testing.T, address string, wantRead func(pageAttack) bool) {
		t.Parallel()
		name := startReboundName(t)
		attacks := adminAttacks("rebind.test", name.addr)
		name.visit(t, address, attacks, func(results []stepResult) {
			for i, attack := range attacks {
				wantReadable(t, attack, results[i], wantRead(attack))
				if results[i].Read == "" && (address == b.adminURL || !attack.usesFrame()) {
					t.Errorf("%s by %s: the page read nothing, want at least the refusal", attack.step.URL, attack.name)
				}
			}
		})
	}
	never := func(pageAttack) bool { return false }
	t.Run("foreign/broker", func(t *testing.T) { foreign(t, b.adminURL, never) })
	t.Run("foreign/unprotected", func(t *testing.T) {
		foreign(t, unprotected, func(attack pageAttack) bool { return attack.readableWithCORS })
	})
	t.Run("rebound/broker", func(t *testing.T) { rebound(t, b.adminURL, never) })
	t.Run("rebound/unprotected", func(t *testing.T) {
		rebound(t, unprotected, func(attack pageAttack) bool { return attack.readableSameOrigin && !attack.usesFrame() })
	})
}

// wantReadable fails the test unless the page could, or could not, read the content of the admin listener's page.
func wantReadable(t *testing.T, attack pageAttack, result stepResult, want bool) {
	t.Helper()
	if got := strings.Contains(result.Read, adminMarkers[attack.path]); got != want {
		t.Errorf("%s by %s: the page read %q; content of the admin listener in it: got %v, want %v", attack.step.URL, attack.name, result.Read, got, want)
	}
}
