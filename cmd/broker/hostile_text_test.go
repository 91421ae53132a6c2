package main

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// Requests of nearly 64 kB have their text in different places. Each one logs one short, printable line.
func TestAccessLogLineIsBounded(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_ACCESS_LOG=true", "BROKER_ACCESS_KEY="+strings.Repeat("k", 32)))
	b.WaitReady()
	long := strings.Repeat("\u009b31m\u202e", 60_000/len("\u009b31m\u202e"))
	const form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 29\r\n\r\ngrant_type=client_credentials"
	for name, request := range map[string]string{
		"method":           strings.Repeat("M", 60_000) + " / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"path":             "GET /" + long + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"path, encoded":    "GET /" + strings.Repeat("%C2%9B", 10_000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"method and path":  strings.Repeat("M", 30_000) + " /" + long[:30_000] + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"account":          "GET /@" + long + "/channels HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"account of token": "POST /@" + long + "/oauth/token HTTP/1.1\r\nHost: localhost\r\n" + form,
		"account of a key": "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer placeholder:" + long + ":" + strings.Repeat("k", 32) + "\r\n\r\n",
		"request id":       "GET / HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: " + long + "\r\n\r\n",
		"traceparent":      "GET / HTTP/1.1\r\nHost: localhost\r\nTraceparent: 00-" + long + "\r\n\r\n",
		"tunnel":           "CONNECT " + long + ":443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		before := b.Logs.String()
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(brokertest.Timeout))
		go func() { _, _ = io.WriteString(conn, request) }() // the broker may respond and close before it has read all
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Errorf("%s: got no response but %v", name, err)
		}
		_ = conn.Close()
		brokertest.Eventually(t, name+" is logged", func() bool { return strings.HasSuffix(b.Logs.String(), "\n") && len(b.Logs.String()) > len(before) })
		// A refused request has a second line, once a minute.
		added := b.Logs.String()[len(before):]
		brokertest.CheckPrintable(t, name, added, strings.Count(added, "\n"), 4<<10)
	}
	for _, line := range b.Logs.Lines("request") {
		if account, _ := line["account"].(string); account != "" && account != "default" {
			t.Errorf("got account %q in the log, want none or an existing one", account)
		}
	}
}

// Another program listens on the admin listener's port.
func TestHealthAndWaitEscapeForeignText(t *testing.T) {
	t.Parallel()
	for name, response := range map[string]string{
		"body":       "HTTP/1.1 503 x\r\n\r\n" + strings.Repeat(brokertest.HostileText, 2000),
		"reason":     "HTTP/1.1 503 " + brokertest.HostileText + "\r\nContent-Length: 0\r\n\r\n",
		"status":     "HTTP/1.1 " + strings.ReplaceAll(brokertest.HostileText, "\r\n", "") + strings.Repeat("x", 20_000) + "\r\n\r\n",
		"no HTTP":    strings.Repeat(brokertest.HostileText, 2000),
		"header":     "HTTP/1.1 200 OK\r\n" + strings.Repeat("\x1b[2J\u202e", 2000) + "\r\n\r\n",
		"length":     "HTTP/1.1 503 x\r\nContent-Length: " + strings.Repeat("\u202e\u009b", 2000) + "\r\n\r\n",
		"nothing":    "",
		"empty body": "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := brokertest.ServeRaw(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4<<10))
				_, _ = io.WriteString(conn, response)
			})
			for _, args := range [][]string{{"health"}, {"status"}, {"wait", "-timeout=1ms"}, {"wait", "-timeout=300ms"}} {
				code, stdout, stderr := ask(args, "BROKER_ADMIN_LISTEN="+address)
				if code != exitFailure || stdout != "" {
					t.Errorf("%v: got exit code %d and %q, want %d", args, code, stdout, exitFailure)
				}
				brokertest.CheckPrintable(t, args[0], stderr, 1, 1200)
			}
		})
	}
}

// Another program listens on the port of either listener. Both output formats of check escape its text.
func TestCheckEscapesForeignText(t *testing.T) {
	t.Parallel()
	eTrusted := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	for name, response := range map[string]string{
		"status page": jsonAnswer(map[string]any{"version": brokertest.HostileText, "ready": false, "accounts": []any{}, "not_ready_reason": strings.Repeat(brokertest.HostileText, 2000)}),
		"header":      "HTTP/1.1 404 " + brokertest.HostileText + "\r\nProxy-Status: etrusted-broker; " + brokertest.HostileText + "\r\n\r\n",
		"no HTTP":     strings.Repeat(brokertest.HostileText, 2000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := brokertest.ServeRaw(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4<<10))
				_, _ = io.WriteString(conn, response)
			})
			for _, variable := range []string{"BROKER_LISTEN", "BROKER_ADMIN_LISTEN"} {
				for _, args := range [][]string{{"check"}, {"check", "-json"}} {
					_, stdout, stderr := ask(args, brokertest.Environ(eTrusted, variable+"="+address)...)
					text := stdout + stderr
					brokertest.CheckPrintable(t, variable, text, strings.Count(text, "\n"), 1500)
					if !strings.Contains(text, "in use by a") {
						t.Errorf("%v: got %s, want what listens on the port", args, text)
					}
				}
			}
		})
	}
}
