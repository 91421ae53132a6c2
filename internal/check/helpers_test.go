package check

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

const testTimeout = 30 * time.Second

// serve starts an HTTP server on loopback, and returns its port.
func serve(t *testing.T, handler http.Handler) (port string) {
	t.Helper()
	return parse(t, brokertest.Serve(t, handler)).Port()
}

// eTrusted returns a configuration with which all steps pass: http://login.example and http://api.example are the server, with
// a DNS server that resolves them.
func eTrusted(t *testing.T, server *fakeetrusted.Server) Config {
	t.Helper()
	port := serve(t, server)
	return Config{
		Configuration: Step{Name: "configuration", Status: StatusOK},
		Login:         Server{Name: "login server", Variable: "TOKEN_URL", URL: parse(t, "http://login.example:"+port+"/oauth/token"), Transport: &http.Transport{DialContext: resolvingDialer(t, hosts).DialContext}, Cause: CauseLoginServer},
		API:           Server{Name: "API", Variable: "API_URL", URL: parse(t, "http://api.example:"+port), Transport: &http.Transport{DialContext: resolvingDialer(t, hosts).DialContext}, Cause: CauseAPI},
		Proxy:         func(*http.Request) (*url.URL, error) { return nil, nil },
		Audience:      "https://api.etrusted.com",
		Accounts: []Account{{"default", tokensource.CredentialSource{
			ID:     tokensource.CredentialField{Name: "ID", Value: tokensource.NewSecret(fakeetrusted.DefaultClientID)},
			Secret: tokensource.CredentialField{Name: "SECRET", Value: tokensource.NewSecret(fakeetrusted.DefaultClientSecret)},
		}}},
		WorldReadable: func(string) (fs.FileMode, bool) { return 0, false },
		Timeout:       testTimeout,
	}
}

// hosts resolves the names of the tests.
var hosts = resolves("login.example.", "api.example.", "proxy.example.")

// resolvingDialer returns a dialer that asks a DNS server of the test: see nameServer.
func resolvingDialer(t *testing.T, answer func(name string) code) *net.Dialer {
	t.Helper()
	return &net.Dialer{Resolver: nameServer(t, answer)}
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// runCheck runs all steps and returns the report, and a line for each step, warning and piece of advice.
func runCheck(t *testing.T, config Config) (Report, string) {
	t.Helper()
	var text strings.Builder
	report := Run(t.Context(), config)
	for _, step := range report.Steps {
		_, _ = fmt.Fprintf(&text, "%s %s: %s\n", step.Status, step.Title(), step.Text)
		for _, line := range append(step.Warnings, step.Advice) {
			_, _ = fmt.Fprintf(&text, "  %s\n", line)
		}
	}
	return report, text.String() + report.Summary
}

// mustFail fails the test unless exactly one step fails: with this name, text and cause.
func mustFail(t *testing.T, config Config, name, text string, cause Cause) {
	t.Helper()
	report, printed := runCheck(t, config)
	found := 0
	for _, step := range report.Steps {
		if step.Status != StatusFailed {
			continue
		}
		found++
		if step.Name != name || !strings.Contains(step.Text, text) || step.Cause != cause || step.Advice == "" {
			t.Errorf("got %+v, want %s: %q, %s", step, name, text, cause)
		}
	}
	if found != 1 || report.OK || len(report.Causes) != 1 {
		t.Errorf("%d steps failed, want 1:\n%s", found, printed)
	}
}

// code is the response code of a DNS server; a negative one stands for no response.
type code int

const (
	noError  code = 0
	servFail code = 2
	nxDomain code = 3
	noReply  code = -1
)

func resolves(names ...string) func(string) code {
	return func(asked string) code {
		for _, name := range names {
			if strings.EqualFold(asked, name) {
				return noError
			}
		}
		return nxDomain
	}
}

// nameServer starts a DNS server on loopback (RFC 1035 section 4). Every name that it resolves is at 127.0.0.1.
func nameServer(t *testing.T, answer func(name string) code) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		for message := make([]byte, 512); ; {
			n, from, err := conn.ReadFrom(message)
			if err != nil {
				return
			}
			if reply := replyTo(message[:n], answer); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// replyTo returns nil for no response.
func replyTo(query []byte, answer func(string) code) []byte {
	name, at := "", 12 // the header's length
	for at < len(query) && query[at] != 0 {
		name += string(query[at+1:at+1+int(query[at])]) + "."
		at += 1 + int(query[at])
	}
	isA := query[at+2] == 1
	given := answer(name)
	if given == noReply {
		return nil
	}
	reply := append([]byte{}, query[:at+5]...) // without the additional records
	reply[2], reply[3] = query[2]|0x80, 0x80|byte(given)
	copy(reply[6:12], make([]byte, 6))
	if given == noError && isA {
		reply[7] = 1
		reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
	}
	return reply
}

// tcpServer calls handle with each connection.
func tcpServer(t *testing.T, handle func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				handle(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func readForever(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
