package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// The canaries are odd enough that no match is a coincidence.
const (
	canaryID       = "c4n4ryc1d000__canary-client"
	canarySecret   = "CANARY-secret-0815!"
	canaryAppToken = "CANARY-app-token-4711"
	canaryQuery    = "CANARY-query-2342"
)

// startReflectingServer starts a server that answers every request with what response makes of the secrets in it, and returns
// its URL.
func startReflectingServer(t *testing.T, response func(sent string) string) string {
	t.Helper()
	return "http://" + brokertest.ServeRaw(t, func(conn net.Conn) {
		request, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		body, _ := io.ReadAll(request.Body)
		form, _ := url.ParseQuery(string(body))
		sent := strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ") + form.Get("client_id") + form.Get("client_secret")
		_, _ = io.WriteString(conn, response(sent))
	})
}

// No secret and no token, the broker's or the app's, is in any log line, page, metric or response, whatever fails, at level
// debug.
func TestNothingLeaks(t *testing.T) {
	// The standard library logs to a writer of the whole process, which run must have silenced.
	standardLog := &brokertest.LogBuffer{}
	stdlog.SetOutput(standardLog)
	t.Cleanup(func() {
		if text := standardLog.String(); text != "" {
			t.Errorf("got %q in the log of the standard library, want nothing", text)
		}
		stdlog.SetOutput(os.Stderr)
	})
	malformed := map[string]func(sent string) string{
		"status line":    func(sent string) string { return sent + "\r\n\r\n" },
		"status code":    func(sent string) string { return "HTTP/1.1 " + sent + " OK\r\n\r\n" },
		"header":         func(sent string) string { return "HTTP/1.1 200 OK\r\n" + sent + "\r\n\r\n" },
		"length":         func(sent string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + sent + "\r\n\r\n" },
		"encoding":       func(sent string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + sent + "\r\n\r\n" },
		"chunk":          func(sent string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + sent },
		"extra response": func(sent string) string { return "HTTP/1.1 204 No Content\r\n\r\n" + sent + "\r\n\r\n" },
		"early hints":    func(sent string) string { return "HTTP/1.1 103 " + sent + "\r\n\r\n" + sent },
		"long header":    func(sent string) string { return "HTTP/1.1 200 OK\r\nX: " + strings.Repeat(sent, 20_000) + "\r\n\r\n" },
		"reason phrase":  func(sent string) string { return "HTTP/1.1 503 " + sent + "\r\nContent-Length: 0\r\n\r\n" },
		"location": func(sent string) string {
			return "HTTP/1.1 307 x\r\nLocation: http://" + sent + ".example/\r\nContent-Length: 0\r\n\r\n"
		},
		"retry-after": func(sent string) string {
			return "HTTP/1.1 429 x\r\nRetry-After: " + sent + "\r\nContent-Length: 0\r\n\r\n"
		},
		"token type": func(sent string) string {
			return jsonAnswer(map[string]any{"access_token": "abc", "token_type": sent})
		},
		"expires_in": func(sent string) string {
			return jsonAnswer(map[string]any{"access_token": "a b", "expires_in": sent})
		},
		"access token": func(sent string) string { return jsonAnswer(map[string]any{"access_token": sent + "\n"}) },
		"error":        func(sent string) string { return jsonAnswer(map[string]any{"error": sent, "error_description": sent}) },
	}
	allOutput := []string{"(set, 19 bytes)", `"msg":"request"`, "token_refreshes_total", `"accounts"`, "goroutine ", "heap profile: ", `<h1 data-text="summary">`}
	faults := map[string]http.Handler{
		"none":      nil,
		"echo 400":  fakeetrusted.EchoSecret(400),
		"echo 401":  fakeetrusted.EchoSecret(401),
		"echo 503":  fakeetrusted.EchoSecret(503),
		"echo 200":  fakeetrusted.EchoSecret(200),
		"rejected":  fakeetrusted.OAuthError(401, "invalid_client"),
		"truncated": fakeetrusted.Truncate(100),
	}
	for name, fault := range faults {
		t.Run("login server: "+name, func(t *testing.T) {
			t.Parallel()
			server := fakeetrusted.New(fakeetrusted.Options{ClientID: canaryID, ClientSecret: canarySecret})
			server.SetTokenFault(fault)
			eTrusted := brokertest.Serve(t, server)
			out := exerciseBroker(t, eTrusted, eTrusted)
			checkNoSecret(t, out, server.Tokens(), allOutput...)
		})
	}
	for name, response := range malformed {
		t.Run("login server: "+name, func(t *testing.T) {
			t.Parallel()
			login := startReflectingServer(t, response)
			checkNoSecret(t, exerciseBroker(t, login, login), nil, allOutput...)
		})
		if strings.Contains(response("x"), "application/json") {
			continue // the body of a well-formed response belongs to the app
		}
		t.Run("API: "+name, func(t *testing.T) {
			t.Parallel()
			server := fakeetrusted.New(fakeetrusted.Options{ClientID: canaryID, ClientSecret: canarySecret})
			out := exerciseBroker(t, startReflectingServer(t, response), brokertest.Serve(t, server))
			checkNoSecret(t, out, server.Tokens(), allOutput...)
		})
	}
}

func jsonAnswer(fields map[string]any) string {
	body, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// exerciseBroker runs the broker and each command, sends all kinds of requests, and returns all output and responses.
func exerciseBroker(t *testing.T, api, login string) string {
	t.Helper()
	out := &brokertest.LogBuffer{}
	secretFile := filepath.Join(t.TempDir(), "client_secret")
	if err := os.WriteFile(secretFile, []byte(canarySecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{
		"ETRUSTED_CLIENT_ID=" + canaryID, "ETRUSTED_CLIENT_SECRET_FILE=" + secretFile,
		"ETRUSTED_API_URL=" + api, "ETRUSTED_TOKEN_URL=" + login + "/oauth/token",
		"ETRUSTED_SECRET=" + canarySecret, // a misspelt name
		"BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN=127.0.0.1:0", "BROKER_TOKEN_WAIT=20ms",
		"BROKER_LOG_LEVEL=debug", "BROKER_SHUTDOWN_GRACE=1s",
		"BROKER_ACCESS_LOG=true", "BROKER_PPROF=true",
	}
	run(t.Context(), "broker", []string{"config"}, environ, out, out)
	run(t.Context(), "broker", []string{"-h"}, environ, out, out)
	run(t.Context(), "broker", []string{"version"}, environ, out, out)

	b := startBroker(t, []string{"serve"}, environ)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()

	for _, request := range []struct{ method, url, body string }{
		{"GET", b.URL + "/channels?key=" + canaryQuery, ""}, {"POST", b.URL + "/events", `{"type":"checkout"}`}, {"TRACE", b.URL + "/channels", ""}, {"GET", b.URL + "/nowhere", ""},
		{"GET", b.Admin + "/metrics", ""}, {"GET", b.Admin + "/status.json", ""}, {"GET", b.Admin + "/readyz", ""}, {"GET", b.Admin + "/healthz", ""}, {"GET", b.Admin + "/", ""},
		{"GET", b.Admin + "/debug/pprof/goroutine?debug=2", ""}, {"GET", b.Admin + "/debug/pprof/heap?debug=1", ""},
	} {
		for range 2 {
			r, err := http.NewRequest(request.method, request.url, strings.NewReader(request.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+canaryAppToken)
			r.Header.Set("Proxy-Authorization", "Basic "+canaryAppToken)
			r.Header.Set("Cookie", "session="+canaryAppToken)
			response, err := transport.RoundTrip(r)
			if err != nil {
				continue // a truncated response: its failure is in the log
			}
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			_, _ = fmt.Fprintf(out, "%s %v %v %s\n", response.Status, response.Header, response.Trailer, body)
		}
	}
	for _, name := range []string{"wait", "health", "allow"} {
		args := []string{name}
		if name == "wait" {
			args = append(args, "-timeout=50ms")
		}
		run(t.Context(), "broker", args, []string{adminEnv(b.Admin)}, out, out)
	}
	b.Stop()
	return fmt.Sprint(out, b.Stdout, b.Logs)
}

// checkNoSecret reports a canary or a token in a text, in any encoding. parts are texts that must be in it, so that the test fails if it
// has not seen all of the output.
func checkNoSecret(t *testing.T, text string, tokens []string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("got no %q, want it in:\n%s", part, text)
		}
	}
	canaries := append([]string{canaryID, canarySecret, canaryAppToken, canaryQuery}, tokens...)
	for _, token := range tokens {
		canaries = append(canaries, strings.Split(token, ".")...)
	}
	lower := strings.ToLower(text)
	for _, canary := range canaries {
		for encoding, form := range map[string]string{
			"plain":   canary,
			"in hex":  hex.EncodeToString([]byte(canary)),
			"base64":  base64.StdEncoding.EncodeToString([]byte(canary)),
			"escaped": url.QueryEscape(canary),
			"quoted":  strings.Trim(fmt.Sprintf("%q", canary), `"`),
			"cleaned": strings.NewReplacer("_", "-", "!", "-").Replace(strings.ReplaceAll(canary, "__", "-")),
		} {
			if at := strings.Index(lower, strings.ToLower(form)); at >= 0 {
				t.Errorf("got %q (%s), want it nowhere: … %s …", canary, encoding, text[max(0, at-200):min(len(text), at+len(form)+100)])
			}
		}
	}
}
