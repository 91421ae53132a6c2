package main

import (
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// checkProcess runs the check in its own process: the standard library reads HTTPS_PROXY and SSL_CERT_FILE only once per
// process.
func checkProcess(t *testing.T, environ []string, options ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err brokertest.LogBuffer
	command := exec.Command(buildBroker(t), append([]string{"check"}, options...)...)
	command.Env, command.Stdout, command.Stderr = environ, &out, &err
	_ = command.Run() // the caller checks the exit code
	return command.ProcessState.ExitCode(), out.String(), err.String()
}

// TestCheckDiagnosesOutboundProxy covers the proxy in HTTPS_PROXY. It never shows the proxy's password or words.
func TestCheckDiagnosesOutboundProxy(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	a := brokertest.NewCA(t, "authority")
	secure := strings.TrimPrefix(tlsServer(t, eTrusted, a, forLoopback("login.test")), "https://")
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	brokertest.ReplaceFile(t, bundle, a.CertificatePEM())
	proxy := brokertest.ServeRaw(t, func(conn net.Conn) {
		request := make([]byte, 4<<10)
		n, _ := conn.Read(request)
		if !strings.Contains(string(request[:n]), "Proxy-Authorization: Basic dXNlcjpDQU5BUlk=\r\n") {
			_, _ = io.WriteString(conn, "HTTP/1.1 407 No\r\n\r\n")
			return
		}
		tunnelTo(conn, secure)
	})
	const via = "through the proxy "
	tests := []struct {
		name, proxyURL string
		more           []string
		failed         string // the failed step; empty if all pass
		output         []string
	}{
		{"works", "http://user:CANARY@" + proxy, []string{"SSL_CERT_FILE=" + bundle}, "",
			[]string{via + proxy + " (HTTPS_PROXY): 127.0.0.1 is an IP address", via + proxy + " (HTTPS_PROXY): connected to " + proxy, "tunnel to login.test:443", via + proxy + " (HTTPS_PROXY): TLS 1.3, certificate valid until 20", bundle + " (0600)"}},
		{"named in NO_PROXY", "http://" + proxy, []string{"NO_PROXY=nosuch.invalid", "ETRUSTED_TOKEN_URL=https://nosuch.invalid/oauth/token"}, "login server: DNS", []string{"  nosuch.invalid was not found: "}},
		{"inspects TLS", "http://user:CANARY@" + proxy, nil, "login server: TLS", []string{"login.test:443 has a certificate of an unknown authority: issued by authority for login.test,", "SSL_CERT_FILE"}},
		{"requires a password", "http://" + proxy, nil, "login server: proxy",
			[]string{"login.test:443 was not reached: the HTTP proxy answered 407 to CONNECT", "http://USER:PASSWORD@HOST:PORT", "Problem: network (login server: proxy)"}},
		{"refuses", "http://user:CANARY@" + brokertest.ServeRaw(t, brokertest.Reply("HTTP/1.1 403 CANARY\r\nContent-Length: 0\r\n\r\n")), nil, "login server: proxy",
			[]string{"login.test:443 was not reached: the HTTP proxy answered 403 to CONNECT", "Check HTTPS_PROXY and NO_PROXY", "Problem: network (login server: proxy)"}},
		{"is another server", "http://user:CANARY@" + brokertest.ServeRaw(t, brokertest.Reply("220 CANARY ESMTP\r\n")), nil, "login server: proxy",
			[]string{"login.test:443 was not reached: the HTTP proxy does not answer as one", "Check HTTPS_PROXY and NO_PROXY"}},
		{"is not there", "http://user:CANARY@127.0.0.1:1", nil, "login server: TCP",
			[]string{"the proxy (HTTPS_PROXY): 127.0.0.1:", " refused the connection", "Check HTTPS_PROXY and NO_PROXY"}},
		{"is not a URL", "http://user:CANARY@host\x7f", nil, "login server: DNS", []string{"! HTTPS_PROXY is not a URL, so it has no effect", "  login.test was not found: "}},
	}
	url := brokertest.Serve(t, eTrusted)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			environ := brokertest.Environ(url, "ETRUSTED_TOKEN_URL=https://login.test/oauth/token", "HTTPS_PROXY="+test.proxyURL)
			code, stdout, stderr := checkProcess(t, append(environ, test.more...))
			if test.failed != "" {
				mustDiagnose(t, code, stdout, stderr, []string{test.failed}, test.output...)
			} else if code != exitOK {
				t.Errorf("got exit code %d, want %d:\n%s%s", code, exitOK, stdout, stderr)
			}
			for _, part := range test.output {
				if !strings.Contains(stdout, part) {
					t.Errorf("got no %q in:\n%s", part, stdout)
				}
			}
			if strings.Contains(stdout+stderr, "CANARY") {
				t.Errorf("got the proxy's password or words, want neither:\n%s%s", stdout, stderr)
			}
		})
	}
}

// tunnelTo accepts a CONNECT request, and connects to an address.
func tunnelTo(conn net.Conn, address string) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	brokertest.Tunnel(conn, server)
}
