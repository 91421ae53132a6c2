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

// checkProcess runs the check in a process of its own: the standard library reads HTTPS_PROXY and SSL_CERT_FILE from the
// environment once in a process's life.
func checkProcess(t *testing.T, environ []string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err brokertest.LogBuffer
	command := exec.Command(buildBroker(t), "check")
	command.Env, command.Stdout, command.Stderr = environ, &out, &err
	_ = command.Run() // the caller checks the exit code
	return command.ProcessState.ExitCode(), out.String(), err.String()
}

func TestCheckDiagnosesOutboundProxy(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	a := brokertest.NewCA(t, "authority")
	secure := strings.TrimPrefix(tlsServer(t, eTrusted, a, forLoopback("login.test")), "https://")
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	brokertest.ReplaceFile(t, bundle, a.CertificatePEM())
	answers := func(text string) string {
		return rawServer(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4<<10))
			_, _ = io.WriteString(conn, text)
		})
	}
	good := rawServer(t, func(conn net.Conn) {
		request := make([]byte, 4<<10)
		n, _ := conn.Read(request)
		if !strings.Contains(string(request[:n]), "Proxy-Authorization: Basic dXNlcjpDQU5BUlk=\r\n") {
			_, _ = io.WriteString(conn, "HTTP/1.1 407 No\r\n\r\n")
			return
		}
		there, err := net.Dial("tcp", secure)
		if err != nil {
			return
		}
		defer func() { _ = there.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, conn) }()
		_, _ = io.Copy(conn, there)
	})
	const via = "through the proxy "
	tests := []struct {
		name, proxy string
		more        []string
		failed      string // empty: nothing
		says        []string
	}{
		{"good", "http://user:CANARY@" + good, []string{"SSL_CERT_FILE=" + bundle}, "",
			[]string{via + good + " (HTTPS_PROXY): 127.0.0.1 is an IP address", via + good + " (HTTPS_PROXY): connected to " + good, good + " opened a tunnel to login.test:443", via + good + " (HTTPS_PROXY): TLS 1.3, certificate valid until 20", bundle + " (0600)"}},
		{"named in NO_PROXY", "http://" + good, []string{"NO_PROXY=nosuch.invalid", "ETRUSTED_TOKEN_URL=https://nosuch.invalid/oauth/token"}, "login server: DNS", []string{"  cannot resolve nosuch.invalid: "}},
		{"inspects TLS", "http://user:CANARY@" + good, nil, "login server: TLS", []string{"login.test:443 has a certificate of an unknown authority, issued by authority", "SSL_CERT_FILE"}},
		{"wants a password", "http://" + good, nil, "login server: proxy",
			[]string{"login.test:443 was not reached: the HTTP proxy answered 407 to CONNECT", "http://USER:PASSWORD@HOST:PORT", "Problem: network (login server: proxy)"}},
		{"refuses", "http://user:CANARY@" + answers("HTTP/1.1 403 CANARY\r\nContent-Length: 0\r\n\r\n"), nil, "login server: proxy",
			[]string{"login.test:443 was not reached: the HTTP proxy answered 403 to CONNECT", "Check HTTPS_PROXY and NO_PROXY", "Problem: network (login server: proxy)"}},
		{"is none", "http://user:CANARY@" + answers("220 CANARY ESMTP\r\n"), nil, "login server: proxy",
			[]string{"login.test:443 was not reached: the HTTP proxy does not answer as one", "Check HTTPS_PROXY and NO_PROXY"}},
		{"is not there", "http://user:CANARY@127.0.0.1:1", nil, "login server: TCP",
			[]string{"the proxy (HTTPS_PROXY) 127.0.0.1:", " refused the connection", "Check HTTPS_PROXY and NO_PROXY"}},
		{"is no URL", "http://user:CANARY@host\x7f", nil, "login server: DNS", []string{"! HTTPS_PROXY is not a URL, so it has no effect", "  cannot resolve login.test: "}},
	}
	url := brokertest.Serve(t, eTrusted)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			environ := brokertest.Environ(url, "ETRUSTED_TOKEN_URL=https://login.test/oauth/token", "HTTPS_PROXY="+test.proxy)
			code, stdout, stderr := checkProcess(t, append(environ, test.more...))
			if test.failed != "" {
				mustDiagnose(t, code, stdout, stderr, []string{test.failed}, test.says...)
			} else if code != exitOK {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
			for _, part := range test.says {
				if !strings.Contains(stdout, part) {
					t.Errorf("does not say %q:\n%s", part, stdout)
				}
			}
			if strings.Contains(stdout+stderr, "CANARY") {
				t.Errorf("shows the password, or the proxy's words:\n%s%s", stdout, stderr)
			}
		})
	}
}
