package e2e

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestBrowserItself holds that a page causes no request to the API by having the browser act by itself: it fetches what the
// user may open next, or the issuer of a certificate. Chromium sends Sec-Fetch-Site: none with most of these, as if the user
// had caused them.
func TestBrowserItself(t *testing.T) {
	t.Parallel()
	needChromium(t)
	t.Run("broker", func(t *testing.T) {
		t.Parallel()
		b := startBrowsed(t)
		trials, attempts := indirectTrials(t, b.app)
		visitTrusted(t, attempts, func([]outcome) {
			b.wantRefused(trials)
			b.wantAppServed()
		})
		b.wantNothingCaused()
	})
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		upstream := startCounter(t)
		trials, attempts := indirectTrials(t, startUnprotected(t, upstream.url))
		visitTrusted(t, attempts, func([]outcome) { upstream.wantReached(t, trials) })
	})
}

// visitTrusted has a browser open a foreign page that is not tampered with on the way: over HTTPS or, as here, from the same
// machine. For other pages Chromium does not fetch ahead.
func visitTrusted(t *testing.T, attempts []attempt, check func([]outcome)) {
	t.Helper()
	a := startAttacker(t, attempts, nil)
	a.visit(t, urlAt("localhost", a.address), check)
}

// indirectTrials returns the trials, and what the page does for each.
func indirectTrials(t *testing.T, address string) (trials []trial, attempts []attempt) {
	t.Helper()
	for _, host := range []string{"localhost", "127.0.0.1"} {
		for _, name := range []string{"speculative prefetch", "redirected speculative prefetch", "prerender", "payment method", "fetchLater", "certificate", "redirected certificate"} {
			if name == "prerender" && host != "localhost" {
				continue // Chromium prerenders only for pages of the same site, to which every port of a host belongs
			}
			path := "/" + host + "/" + strings.ReplaceAll(name, " ", "-")
			url := urlAt(host, address) + path
			trials = append(trials, trial{technique{name: name}, url, path, "browser"})
			switch name {
			case "certificate":
				attempts = append(attempts, attempt{"fetch GET no-cors", startUntrusted(t, url)})
			case "redirected certificate":
				attempts = append(attempts, attempt{"fetch GET no-cors", startUntrusted(t, startRedirect(t, url))})
			default:
				attempts = append(attempts, attempt{name, url})
			}
		}
	}
	return trials, attempts
}

// startUntrusted runs a TLS server whose certificate names a URL at which its issuer's certificate is said to be (RFC 5280
// section 4.2.2.1, caIssuers).
func startUntrusted(t *testing.T, issuer string) (url string) {
	t.Helper()
	key, issuerKey := newECKey(t), newECKey(t)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62)) // Chromium takes two certificates of one serial for the same
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, DNSNames: []string{"attacker.test"}, IssuingCertificateURL: []string{issuer},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	unknown := &x509.Certificate{SerialNumber: big.NewInt(1)}
	unknown.Subject.CommonName = "unknown " + serial.String()
	der, err := x509.CreateCertificate(rand.Reader, leaf, unknown, key.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // each handshake that Chromium breaks off
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.Replace(urlAt("attacker.test", server.Listener.Addr().String()), "http", "https", 1)
}

// startRedirect runs a server of the attacker's that sends every request on to a URL.
func startRedirect(t *testing.T, to string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.RedirectHandler(to, http.StatusFound))
	t.Cleanup(server.Close)
	return urlAt("attacker.test", server.Listener.Addr().String())
}
