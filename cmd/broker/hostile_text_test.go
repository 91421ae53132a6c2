package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/fakeetrusted"
)

// hostile clears a terminal, renames its window, hides and reverses text, forges a line and is not UTF-8.
const hostile = "\x1b[2J\x1b]0;title\a\u009b31m\u202e\u2066\u200b\ufeff\u3164\u0336\u2028\x7f\xff\r\n{\"level\":\"info\"}"

// mustBeHarmless holds that a text is of so many lines of at most so many bytes, which a terminal shows and does not obey.
func mustBeHarmless(t *testing.T, what, text string, lines, length int) {
	t.Helper()
	if got := strings.Count(text, "\n"); got != lines {
		t.Errorf("%s: got %d lines, want %d: %q", what, got, lines, text)
	}
	for line := range strings.Lines(text) {
		if len(line) > length {
			t.Errorf("%s: got a line of %d bytes, want at most %d", what, len(line), length)
		}
		if !utf8.ValidString(line) {
			t.Errorf("%s: got %q, want UTF-8", what, line)
		}
		for _, r := range strings.TrimSuffix(line, "\n") {
			if r != '\t' && (!unicode.IsPrint(r) || strings.ContainsRune("\u3164\u0336", r)) {
				t.Errorf("%s: %q is in %q", what, r, line)
				break
			}
		}
	}
}

// TestLogEscapesAndBoundsText is about both formats, and about what net/http logs through the server's ErrorLog.
func TestLogEscapesAndBoundsText(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "console"} {
		var logs buffer
		log := newLogger(&logs, zapcore.InfoLevel, format)
		long := strings.Repeat(hostile, 2000)
		log.Warn(long)
		log.Warn("a field", zap.String("reason", long))
		log.With(zap.String("reason", long)).Warn("a field of all lines")
		newServer(http.NotFoundHandler(), log).ErrorLog.Printf("http: TLS handshake error from 127.0.0.1:1: %s", long)
		log.Debug(long)
		mustBeHarmless(t, format, logs.String(), 4, 2400)
	}
}

// TestAccessLogLineIsBounded sends requests of nearly 64 kB whose text comes from the client, each in another place.
func TestAccessLogLineIsBounded(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, environFor(serveHTTP(t, eTrusted), "BROKER_ACCESS_LOG=true", "BROKER_ACCESS_KEY="+strings.Repeat("k", 32)))
	b.ready()
	long := strings.Repeat("\u009b31m\u202e", 60_000/len("\u009b31m\u202e"))
	const form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\n\r\ngrant_type=client_credentials"
	for name, request := range map[string]string{
		"method":           strings.Repeat("M", 60_000) + " / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"path":             "GET /" + long + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"path, encoded":    "GET /" + strings.Repeat("%C2%9B", 10_000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"method and path":  strings.Repeat("M", 30_000) + " /" + long[:30_000] + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"account":          "GET /@" + long + "/channels HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"account of token": "POST /@" + long + "/oauth/token HTTP/1.1\r\nHost: localhost\r\n" + form,
		"account of a key": "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer stand-in:" + long + ":" + strings.Repeat("k", 32) + "\r\n\r\n",
		"request id":       "GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: " + long + "\r\n\r\n",
		"traceparent":      "GET / HTTP/1.1\r\nHost: localhost\r\nTraceparent: 00-" + long + "\r\n\r\n",
		"tunnel":           "CONNECT " + long + ":443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		before := b.logs.String()
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		go func() { _, _ = io.WriteString(conn, request) }() // it may be answered before it is read
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Errorf("%s: got no answer: %v", name, err)
		}
		_ = conn.Close()
		eventually(t, name+" is logged", func() bool { return strings.HasSuffix(b.logs.String(), "\n") && len(b.logs.String()) > len(before) })
		mustBeHarmless(t, name, b.logs.String()[len(before):], 1, 2<<10)
	}
	for _, line := range b.logs.lines("request") {
		if account, _ := line["account"].(string); account != "" && account != "default" {
			t.Errorf("got account %q, want none that does not exist", account)
		}
	}
}

// TestHealthAndWaitEscapeForeignText is about another program on the admin listener's port.
func TestHealthAndWaitEscapeForeignText(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"body":         "HTTP/1.1 503 x\r\n\r\n" + strings.Repeat(hostile, 2000),
		"reason":       "HTTP/1.1 503 " + hostile + "\r\nContent-Length: 0\r\n\r\n",
		"status":       "HTTP/1.1 " + strings.ReplaceAll(hostile, "\r\n", "") + strings.Repeat("x", 20_000) + "\r\n\r\n",
		"no HTTP":      strings.Repeat(hostile, 2000),
		"header":       "HTTP/1.1 200 OK\r\n" + strings.Repeat("\x1b[2J\u202e", 2000) + "\r\n\r\n",
		"length":       "HTTP/1.1 503 x\r\nContent-Length: " + strings.Repeat("\u202e\u009b", 2000) + "\r\n\r\n",
		"nothing":      "",
		"empty answer": "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := rawServer(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4<<10))
				_, _ = io.WriteString(conn, answer)
			})
			for _, args := range [][]string{{"health"}, {"wait", "-timeout=1ms"}, {"wait", "-timeout=300ms"}} {
				code, stdout, stderr := ask(args, "BROKER_ADMIN_LISTEN="+address)
				if code != exitFailure || stdout != "" {
					t.Errorf("%v: got exit code %d and %q, want %d", args, code, stdout, exitFailure)
				}
				mustBeHarmless(t, args[0], stderr, 1, 1200)
			}
		})
	}
}

// TestCheckEscapesForeignText is about another program on the ports of both listeners, for people and for machines.
func TestCheckEscapesForeignText(t *testing.T) {
	t.Parallel()
	eTrusted := serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{}))
	for name, answer := range map[string]string{
		"status page": jsonAnswer(map[string]any{"version": hostile, "ready": false, "accounts": []any{}, "not_ready_reason": strings.Repeat(hostile, 2000)}),
		"header":      "HTTP/1.1 404 " + hostile + "\r\nProxy-Status: etrusted-broker; " + hostile + "\r\n\r\n",
		"no HTTP":     strings.Repeat(hostile, 2000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := rawServer(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4<<10))
				_, _ = io.WriteString(conn, answer)
			})
			for _, variable := range []string{"BROKER_LISTEN", "BROKER_ADMIN_LISTEN"} {
				for _, args := range [][]string{{"check"}, {"check", "-json"}} {
					_, stdout, stderr := ask(args, environFor(eTrusted, variable+"="+address)...)
					text := stdout + stderr
					mustBeHarmless(t, variable, text, strings.Count(text, "\n"), 1500)
					if !strings.Contains(text, "in use by a") {
						t.Errorf("%v: got %s, want what listens there", args, text)
					}
				}
			}
		})
	}
}
