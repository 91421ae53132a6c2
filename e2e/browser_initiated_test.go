package e2e

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// TestBrowserInitiatedRequestsAreRefused covers requests that the browser sends on its own because of a page: it prefetches
// what the user may open next, or fetches the certificate of an issuer. Chromium sends most of them with Sec-Fetch-Site:
// none, as if the user had caused them. None may reach the API.
func TestBrowserInitiatedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	needChromium(t)
	t.Run("broker", func(t *testing.T) {
		t.Parallel()
		b := startReadyBroker(t)
		attacks, steps := browserInitiatedAttacks(t, b.appURL)
		visitTrustworthyPage(t, steps, func([]stepResult) {
			b.wantDenied(attacks)
			b.wantAppServed()
		})
		b.wantOnlyAppRequests()
	})
	t.Run("unprotected", func(t *testing.T) {
		t.Parallel()
		upstream := startUnprotectedAPI(t)
		attacks, steps := browserInitiatedAttacks(t, startUnprotectedProxy(t, upstream.url))
		visitTrustworthyPage(t, steps, func([]stepResult) { upstream.wantReached(t, attacks) })
	})
}

// visitTrustworthyPage opens a page whose origin is potentially trustworthy: HTTPS or, as here, the same machine. Chromium
// prefetches only for such pages.
func visitTrustworthyPage(t *testing.T, steps []pageStep, check func([]stepResult)) {
	t.Helper()
	a := startAttackPage(t, steps, nil)
	a.visit(t, urlAt("localhost", a.addr), check)
}

// browserInitiatedAttacks returns the attacks, and the step of the page for each.
func browserInitiatedAttacks(t *testing.T, address string) (attacks []pageAttack, steps []pageStep) {
	t.Helper()
	for _, host := range []string{"localhost", "127.0.0.1"} {
		for _, name := range []string{"speculative prefetch", "redirected speculative prefetch", "prerender", "payment method", "fetchLater", "certificate", "redirected certificate"} {
			if name == "prerender" && host != "localhost" {
				continue // Chromium prerenders only same-site pages; the port is not part of the site
			}
			path := "/" + host + "/" + strings.ReplaceAll(name, " ", "-")
			url := urlAt(host, address) + path
			attacks = append(attacks, pageAttack{requestTechnique{name: name}, url, path, "browser"})
			switch name {
			case "certificate":
				steps = append(steps, pageStep{"fetch GET no-cors", startServerWithUnknownIssuer(t, url)})
			case "redirected certificate":
				steps = append(steps, pageStep{"fetch GET no-cors", startServerWithUnknownIssuer(t, startRedirectServer(t, url))})
			default:
				steps = append(steps, pageStep{name, url})
			}
		}
	}
	return attacks, steps
}

// startServerWithUnknownIssuer runs a TLS server whose certificate names a URL for its issuer's certificate (caIssuers, RFC
// 5280 section 4.2.2.1).
func startServerWithUnknownIssuer(t *testing.T, issuer string) (url string) {
	t.Helper()
	// The test kit chooses random serial numbers: Chromium treats certificates with the same serial as the same one.
	key, cert := brokertest.NewCA(t, "unknown "+rand.Text()).Sign(&x509.Certificate{
		DNSNames: []string{"attacker.test"}, IssuingCertificateURL: []string{issuer}, NotAfter: time.Now().Add(time.Hour),
	})
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it reports each handshake that Chromium aborts
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.Replace(urlAt("attacker.test", server.Listener.Addr().String()), "http", "https", 1)
}

// startRedirectServer runs a server of the attacker that redirects every request to a URL.
func startRedirectServer(t *testing.T, to string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.RedirectHandler(to, http.StatusFound))
	t.Cleanup(server.Close)
	return urlAt("attacker.test", server.Listener.Addr().String())
}
