package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// checkOutput returns the complete output of check and check -json.
func checkOutput(environ ...string) string {
	environ = append(environ, "ETRUSTED_CLIENT_ID="+canaryID, "ETRUSTED_CLIENT_SECRET="+canarySecret)
	_, text, errors := ask([]string{"check"}, environ...)
	_, asJSON, moreErrors := ask([]string{"check", "-json"}, environ...)
	return text + errors + asJSON + moreErrors
}

// checkSafe reports an output with a secret or a character that is not safe for a terminal, or without marker.
func checkSafe(t *testing.T, text, marker string, tokens ...string) {
	t.Helper()
	checkNoSecret(t, text, tokens, marker)
	for _, r := range text {
		if r < ' ' && r != '\n' || r == 0x7f || r >= 0x80 && !strings.ContainsRune("✓✗–", r) {
			t.Fatalf("got the character %q, want only printable ones: %q", r, text)
		}
	}
}

func TestCheckShowsNoSecret(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault  http.Handler
		marker string
	}{
		"none":                   {nil, "channels: 3"},
		"echo 400":               {fakeetrusted.EchoSecret(400), "an unknown error"},
		"echo 401":               {fakeetrusted.EchoSecret(401), "refused the request (401, JSON without an OAuth error)"},
		"echo 503":               {fakeetrusted.EchoSecret(503), "503 Service Unavailable"},
		"echo 200":               {fakeetrusted.EchoSecret(200), "did not return a token response"},
		"echo in HTML":           {echoHTML(200), "it is HTML or XML"},
		"echo in HTML, refusing": {echoHTML(404), "its status is 404"},
		"closes early":           {fakeetrusted.Truncate(100), "closed the connection"},
	} {
		t.Run("login server: "+name, func(t *testing.T) {
			t.Parallel()
			server := fakeetrusted.New(fakeetrusted.Options{ClientID: canaryID, ClientSecret: canarySecret})
			server.SetTokenFault(test.fault)
			checkSafe(t, checkOutput(brokertest.Environ(brokertest.Serve(t, server))...), test.marker, server.Tokens()...)
		})
	}
	for name, response := range map[string]func(sent string) string{
		"status line": func(sent string) string { return sent + "\r\n\r\n" },
		"reason":      func(sent string) string { return "HTTP/1.1 503 " + sent + "\r\nContent-Length: 0\r\n\r\n" },
		"date":        func(sent string) string { return "HTTP/1.1 403 x\r\nDate: " + sent + "\r\nContent-Length: 0\r\n\r\n" },
		"location": func(sent string) string {
			return "HTTP/1.1 307 x\r\nLocation: http://" + sent + ".example/\r\nContent-Length: 0\r\n\r\n"
		},
		"page": func(sent string) string {
			return "HTTP/1.1 200 OK\r\nContent-Type: text/html; x=" + sent + "\r\n\r\n<p>" + sent
		},
		"JSON":    func(sent string) string { return jsonAnswer(map[string]any{"items": sent, sent: sent}) },
		"channel": func(sent string) string { return jsonAnswer(map[string]any{"items": []string{sent}}) },
		"unasked": func(sent string) string { return "HTTP/1.1 204 No Content\r\n\r\n" + sent + "\r\n\r\n" },
	} {
		t.Run("both: "+name, func(t *testing.T) {
			t.Parallel()
			server := fakeetrusted.New(fakeetrusted.Options{ClientID: canaryID, ClientSecret: canarySecret})
			reflecting := startReflectingServer(t, response)
			checkSafe(t, checkOutput(brokertest.Environ(reflecting)...), "✗ token")
			checkSafe(t, checkOutput(brokertest.Environ(reflecting, "ETRUSTED_TOKEN_URL="+brokertest.Serve(t, server)+"/oauth/token")...), "✓ token", server.Tokens()...)
		})
	}
}

// echoHTML responds with an HTML page that contains the credentials of the request.
func echoHTML(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<p>%s %s %s", r.PostFormValue("client_id"), r.PostFormValue("client_secret"), r.Header.Get("Authorization"))
	})
}

// TestCheckSanitizesTokenClaims: claims are shown without control characters, bounded, and withheld if they contain a secret.
func TestCheckSanitizesTokenClaims(t *testing.T) {
	t.Parallel()
	const hostile = "\x1b[31m\n✓ token\r\a\u202e\x00"
	for name, test := range map[string]struct {
		claims map[string]any
		marker string
	}{
		"escapes": {map[string]any{"aud": hostile, "scope": hostile, "realm_access": map[string]any{"roles": []string{hostile, ""}}},
			"audience -31m-token-; scopes -31m, (no name), token, (no name); roles -31m-token-, (no name)"},
		"secrets":             {map[string]any{"aud": []string{canarySecret, canaryID}, "scope": canarySecret, "azp": canaryID}, "audience (withheld"},
		"secret in pieces":    {map[string]any{"aud": []string{canarySecret[:9], canarySecret[9:]}}, "audience (withheld"},
		"secret in hex":       {map[string]any{"aud": "x-" + hex.EncodeToString([]byte(canarySecret)) + "-x"}, "audience (withheld"},
		"secret in base64":    {map[string]any{"aud": base64.StdEncoding.EncodeToString([]byte(canarySecret))}, "audience (withheld"},
		"client as resource":  {map[string]any{"resource_access": map[string]any{canaryID: map[string]any{"roles": []string{"reader"}}}}, "; roles reader"},
		"another client":      {map[string]any{"azp": "another"}, "! the token was issued to a different client"},
		"huge":                {map[string]any{"aud": strings.Repeat("a", 20_000), "scope": strings.Repeat("b ", 5_000)}, "and 4992 more"},
		"another audience":    {map[string]any{"aud": []string{"account"}}, "! the token is not for the audience in ETRUSTED_AUDIENCE"},
		"a short lifetime":    {map[string]any{"iat": 1000, "exp": 1060}, "! the token expires earlier than the login server said, after 60 s"},
		"an endless lifetime": {map[string]any{"iat": 1, "exp": 1e300}, "valid for 300 s"},
		"wrong types":         {map[string]any{"iat": "x", "exp": []int{1}, "aud": 7, "scope": map[string]any{}, "azp": false, "realm_access": 1, "resource_access": []any{nil}}, "valid for 300 s\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := fakeetrusted.New(fakeetrusted.Options{})
			payload, err := json.Marshal(test.claims)
			if err != nil {
				t.Fatal(err)
			}
			token := "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".c2ln"
			server.SetTokenFault(fakeetrusted.Answer(200, "application/json", `{"access_token":"`+token+`","expires_in":300}`))
			server.SetAPIFault(fakeetrusted.Answer(200, "application/json", "[1]"))
			text := checkOutput(brokertest.Environ(brokertest.Serve(t, server))...)
			checkSafe(t, text, test.marker)
			for line := range strings.Lines(text) {
				if len(line) > 1500 {
					t.Errorf("got a line of %d bytes, want at most 1500", len(line))
				}
			}
			if strings.Count(text, "\n✓ token") != 1 {
				t.Errorf("want exactly one line ✓ token:\n%s", text)
			}
		})
	}
}

// TestCheckSanitizesCertificateNames covers the names in a server's certificate.
func TestCheckSanitizesCertificateNames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		issuer string
		leaf   x509.Certificate
		marker string
	}{
		"issuer": {canarySecret, forLoopback(), "issued by (withheld"},
		"escapes": {"\x1b[2J" + strings.Repeat("x", 60) + "\n✗", forLoopback(),
			"issued by -2J" + strings.Repeat("x", 60)},
		"long":  {strings.Repeat("x", 64), x509.Certificate{Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{strings.Repeat("y", 3000)}, NotAfter: time.Now().Add(time.Hour)}, "y..."},
		"names": {"a", x509.Certificate{DNSNames: []string{canaryID[:7], canaryID[7:]}, NotAfter: time.Now().Add(time.Hour)}, "(withheld"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := fakeetrusted.New(fakeetrusted.Options{})
			url := brokertest.Serve(t, server)
			text := checkOutput(brokertest.Environ(url, "ETRUSTED_API_URL="+tlsServer(t, server, brokertest.NewCA(t, test.issuer), test.leaf))...)
			checkSafe(t, text, test.marker)
		})
	}
}

// TestCheckEscapesTextOfOtherListener covers the responses of another program on the admin listener's address.
func TestCheckEscapesTextOfOtherListener(t *testing.T) {
	t.Parallel()
	eTrustedURL := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	otherListener := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"version": "1\x1b[31m" + strings.Repeat("2", 10_000), "ready": false, "accounts": []any{},
			"not_ready_reason": "be\x1b[31mcause\n✓ all is well " + canarySecret[:5] + strings.Repeat("x", 10_000),
		})
	}))
	checkSafe(t, checkOutput(brokertest.Environ(eTrustedURL, adminEnv(otherListener))...), "not ready: be%1B[31mcause%0A✓ all is well CANAR")
	endless := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
				return
			}
		}
	}))
	checkSafe(t, checkOutput(brokertest.Environ(eTrustedURL, adminEnv(endless))...), " is in use by another program")
}
