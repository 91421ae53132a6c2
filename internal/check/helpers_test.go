package check

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

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
		Configuration: Passed("settings are valid"),
		Login:         ServerToTest{Name: "login server", Variable: "TOKEN_URL", URL: parse(t, "http://login.example:"+port+"/oauth/token"), Transport: &http.Transport{DialContext: resolvingDialer(t, hosts).DialContext}, Cause: CauseLoginServer, OtherServer: CauseConfiguration},
		API:           ServerToTest{Name: "API", Variable: "API_URL", URL: parse(t, "http://api.example:"+port), Transport: &http.Transport{DialContext: resolvingDialer(t, hosts).DialContext}, Cause: CauseAPI, OtherServer: CauseConfiguration},
		Proxy:         func(*http.Request) (*url.URL, error) { return nil, nil },
		Audience:      "https://api.etrusted.com",
		Accounts: []AccountToTest{{"default", tokensource.CredentialSource{
			ID:     tokensource.CredentialFieldSource{Name: "ID", Value: tokensource.NewSecret(fakeetrusted.DefaultClientID)},
			Secret: tokensource.CredentialFieldSource{Name: "SECRET", Value: tokensource.NewSecret(fakeetrusted.DefaultClientSecret)},
		}}},
		OtherReaders: func(string) (readers, repair string) { return "", "" },
		Timeout:      testTimeout,
	}
}

// hosts resolves the names of the tests.
var hosts = resolves("login.example.", "api.example.", "proxy.example.")

// resolvingDialer returns a dialer that asks a DNS server of the test: see nameServer.
func resolvingDialer(t *testing.T, answer func(name string) dnsmessage.RCode) *net.Dialer {
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

func TestMain(m *testing.M) { os.Exit(brokertest.Main(m)) }

// mustFail fails the test unless exactly one step fails: with this name, text and cause. It returns the printed
// report.
func mustFail(t *testing.T, config Config, name, text string, cause Cause) (printed string) {
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
	return printed
}

// code is the response code of a DNS server; a negative one stands for no response.
func resolves(names ...string) func(string) dnsmessage.RCode {
	return func(asked string) dnsmessage.RCode {
		for _, name := range names {
			if strings.EqualFold(asked, name) {
				return dnsmessage.RCodeSuccess
			}
		}
		return dnsmessage.RCodeNameError
	}
}

// nameServer starts a DNS server. Every name that it resolves is at 127.0.0.1.
func nameServer(t *testing.T, answer func(name string) dnsmessage.RCode) *net.Resolver {
	t.Helper()
	return brokertest.DNSResolver(brokertest.ServeDNSAt(t, "127.0.0.1:0", func(name string) (addresses []string, code dnsmessage.RCode) {
		if code = answer(name); code == dnsmessage.RCodeSuccess {
			addresses = []string{"127.0.0.1"}
		}
		return addresses, code
	}))
}

func readForever(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
