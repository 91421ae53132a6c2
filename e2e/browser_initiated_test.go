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
		b := startTestServers(t, time.Minute).startReadyBroker(t)
		attacks := browserInitiatedAttacks(t, b.appURL)
		visitPage(t, trustworthyHost, attacks, func([]stepResult) {
			b.wantDenied(attacks)
			b.wantAppServed()
		})
		b.wantOnlyAppRequests()
	})
	t.Run("unprotected", func(t *testing.T) {
		t.Parallel()
		upstream := startUnprotectedAPI(t)
		attacks := browserInitiatedAttacks(t, startUnprotectedProxy(t, upstream.url))
		visitPage(t, trustworthyHost, attacks, func([]stepResult) { upstream.wantReached(t, attacks) })
	})
}

// trustworthyHost is the host name of a page whose origin is potentially trustworthy: HTTPS or, as here, the same machine.
// Chromium prefetches only for such pages.
const trustworthyHost = "localhost"

func browserInitiatedAttacks(t *testing.T, address string) (attacks []pageAttack) {
	t.Helper()
	for _, host := range []string{trustworthyHost, "127.0.0.1"} {
		for _, name := range []string{"speculative prefetch", "redirected speculative prefetch", "prerender", "payment method", "fetchLater", "certificate", "redirected certificate"} {
			if name == "prerender" && host != trustworthyHost {
				continue // Chromium prerenders only same-site pages; the port is not part of the site
			}
			path := "/" + host + "/" + strings.ReplaceAll(name, " ", "-")
			url := urlAt(host, address) + path
			step := pageStep{name, url}
			switch name {
			case "certificate":
				step = pageStep{"fetch GET no-cors", startServerWithUnknownIssuer(t, url)}
			case "redirected certificate":
				redirect := brokertest.Serve(t, http.RedirectHandler(url, http.StatusFound))
				step = pageStep{"fetch GET no-cors", startServerWithUnknownIssuer(t, urlAt("attacker.test", redirect))}
			}
			attacks = append(attacks, pageAttack{requestTechnique{name: name}, path, "browser", step})
		}
	}
	return attacks
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
