package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/check"
	"etrusted-broker/internal/fakeetrusted"
)

// situation is something that is broken, and what a check must say about it first.
type situation struct {
	name string
	// environ breaks something, and returns variables for the check.
	environ func(t *testing.T, s *fakeetrusted.Server) []string
	step    string // the only one that fails
	cause   check.Cause
	first   string // part of the step's text
	advice  string // part of what to do; may be empty
}

// In each situation exactly one step fails, and its line names the likely cause.
func TestCheckNamesLikelyCauseFirst(t *testing.T) {
	t.Parallel()
	var all []situation
	for _, some := range [][]situation{configurationSituations, credentialSituations, loginSituations, apiSituations, tlsSituations, listenerSituations} {
		all = append(all, some...)
	}
	if len(all) < 50 {
		t.Errorf("got %d situations, want at least 50", len(all))
	}
	for _, test := range all {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			eTrusted := fakeetrusted.New(fakeetrusted.Options{})
			environ := append(brokertest.Environ(brokertest.Serve(t, eTrusted)), test.environ(t, eTrusted)...)
			timeout := brokertest.Timeout.String()
			if strings.Contains(test.name, "does not answer") {
				timeout = "2s" // enough for the other steps on a machine that is busy
			}
			code, stdout, stderr := ask([]string{"check", "-json", "-timeout", timeout}, environ...)
			test.verify(t, code, stdout, stderr)
		})
	}
}

// verify checks the output of 'check -json'.
func (s situation) verify(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	var report check.Report
	wantCode := exitFailure
	if s.step == "configuration" {
		wantCode = exitUsageOrConfig
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != wantCode || stderr != "" || report.OK {
		t.Fatalf("got exit code %d, %v, want %d\n%s%s", code, err, wantCode, stdout, stderr)
	}
	failed := 0
	for _, step := range report.Steps {
		if step.Status != check.StatusFailed {
			continue
		}
		failed++
		if step.Name != s.step || step.Cause != s.cause || !strings.Contains(step.Text, s.first) || step.Advice == "" || !strings.Contains(step.Advice, s.advice) {
			t.Errorf("got %s (%s): %s\n%s\nwant %s (%s): %q with the advice %q", step.Name, step.Cause, step.Text, step.Advice, s.step, s.cause, s.first, s.advice)
		}
	}
	if failed != 1 {
		t.Errorf("got %d failed steps, want 1:\n%s", failed, stdout)
	}
	if strings.ContainsAny(stdout, "\x1b\a") {
		t.Errorf("got control characters: %q", stdout)
	}
}

// variables is for situations that are only about variables.
func variables(environ ...string) func(*testing.T, *fakeetrusted.Server) []string {
	return func(*testing.T, *fakeetrusted.Server) []string { return environ }
}

// secretFile is for situations with a file of the Client Secret.
func secretFile(content string) func(*testing.T, *fakeetrusted.Server) []string {
	return func(t *testing.T, _ *fakeetrusted.Server) []string {
		path := filepath.Join(t.TempDir(), "client_secret")
		brokertest.ReplaceFile(t, path, []byte(content))
		return []string{"ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE=" + path}
	}
}

// account is for situations with a directory of accounts; a file with the content "" is missing.
func account(id, secret string) func(*testing.T, *fakeetrusted.Server) []string {
	return func(t *testing.T, _ *fakeetrusted.Server) []string {
		dir := t.TempDir()
		addAccount(t, dir, "shop-de", id, secret)
		for name, content := range map[string]string{"client_id": id, "client_secret": secret} {
			if content == "" {
				_ = os.Remove(filepath.Join(dir, "shop-de", name))
			}
		}
		return []string{"ETRUSTED_ACCOUNTS_DIR=" + dir}
	}
}

// tokenFault is for situations in which the login server answers differently, and apiFault for the API.
func tokenFault(fault http.Handler) func(*testing.T, *fakeetrusted.Server) []string {
	return func(_ *testing.T, s *fakeetrusted.Server) []string {
		s.SetTokenFault(fault)
		return nil
	}
}

func apiFault(fault http.Handler) func(*testing.T, *fakeetrusted.Server) []string {
	return func(_ *testing.T, s *fakeetrusted.Server) []string {
		s.SetAPIFault(fault)
		return nil
	}
}

var configurationSituations = []situation{
	{"no credentials", variables("ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET="), "configuration", check.CauseConfiguration, "ETRUSTED_CLIENT_ID: is not set: set it", ""},
	{"misspelt variable", variables("ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SCRET=x"), "configuration", check.CauseConfiguration, "ETRUSTED_CLIENT_SCRET: is not a variable of the broker; write ETRUSTED_CLIENT_SECRET instead, or unset it", ""},
	{"quotes of an env file", variables(`ETRUSTED_CLIENT_SECRET="s3cret"`), "configuration", check.CauseConfiguration, "ETRUSTED_CLIENT_SECRET: has quotes around its value", ""},
	{"missing file", func(t *testing.T, _ *fakeetrusted.Server) []string {
		return []string{"ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE=" + filepath.Join(t.TempDir(), "secret.txt")}
	}, "configuration", check.CauseConfiguration, "secret.txt does not exist", ""},
	{"missing directory", variables("BROKER_ACCESS_KEY_FILE=/nosuch/key"), "configuration", check.CauseConfiguration, "BROKER_ACCESS_KEY_FILE: file not found (the path is hidden", ""},
	{"secret that is not mounted", variables("ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE=/etc/nosuch/secret"), "configuration", check.CauseConfiguration, "ETRUSTED_CLIENT_SECRET_FILE: file not found: this user can see only /etc of its path", ""},
	{"quotes around a boolean", variables(`BROKER_ACCESS_LOG="true"`), "configuration", check.CauseConfiguration, "BROKER_ACCESS_LOG: has quotes around its value", ""},
	{"unreadable file", func(t *testing.T, s *fakeetrusted.Server) []string {
		environ := secretFile("x")(t, s)
		path := strings.TrimPrefix(environ[1], "ETRUSTED_CLIENT_SECRET_FILE=")
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		if file, err := os.Open(path); err == nil {
			_ = file.Close()
			t.Skip("this user can read every file")
		}
		return environ
	}, "configuration", check.CauseConfiguration, "client_secret is not readable for this user: its mode is 0000, it belongs to uid ", ""},
	{"empty file", secretFile("\n"), "configuration", check.CauseConfiguration, "client_secret is empty: write the value into it", ""},
	{"UTF-16 file", secretFile("\xff\xfes\x00e\x00"), "configuration", check.CauseConfiguration, "client_secret is UTF-16, which PowerShell's > writes: use Set-Content -Encoding utf8", ""},
	{"file with two lines", secretFile("a\nb\n"), "configuration", check.CauseConfiguration, "client_secret has more than one line: write only the value into it", ""},
	{"secret in place of a path", variables("ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE=s3cret"), "configuration", check.CauseConfiguration, "ETRUSTED_CLIENT_SECRET_FILE: must be a path starting with / or ./", ""},
	{"variable and file", variables("ETRUSTED_CLIENT_SECRET_FILE=/x"), "configuration", check.CauseConfiguration, "both ETRUSTED_CLIENT_SECRET and ETRUSTED_CLIENT_SECRET_FILE are set", ""},
	{"URL without scheme", variables("ETRUSTED_API_URL=api.etrusted.com"), "configuration", check.CauseConfiguration, "ETRUSTED_API_URL: must be a URL that starts with https://", ""},
	{"URL without TLS", variables("ETRUSTED_TOKEN_URL=http://login.etrusted.com/oauth/token"), "configuration", check.CauseConfiguration, "ETRUSTED_TOKEN_URL: must start with https://", ""},
	{"URL with a path", variables("ETRUSTED_API_URL=https://api.etrusted.com/channels"), "configuration", check.CauseConfiguration, "ETRUSTED_API_URL: must consist of scheme and host only", ""},
	{"port without host", variables("BROKER_LISTEN=8080"), "configuration", check.CauseConfiguration, "BROKER_LISTEN: must be HOST:PORT", ""},
	{"open to other machines", variables("BROKER_LISTEN=0.0.0.0:8080"), "configuration", check.CauseConfiguration, "BROKER_LISTEN: would let other machines use the credentials", ""},
	{"missing CA bundle", func(t *testing.T, _ *fakeetrusted.Server) []string {
		return []string{"SSL_CERT_FILE=" + filepath.Join(t.TempDir(), "ca.pem")}
	}, "configuration", check.CauseConfiguration, "SSL_CERT_FILE: ", ""},
	{"slash in the proxy's password", variables("HTTPS_PROXY=http://user:4711/canary@proxy.example:3128"), "configuration", check.CauseConfiguration, "HTTPS_PROXY: is not a URL: in its password, write / as %2F", ""},
	{"no accounts directory", variables("ETRUSTED_ACCOUNTS_DIR=/nosuch"), "configuration", check.CauseConfiguration, "ETRUSTED_ACCOUNTS_DIR: directory not found", ""},
	{"no account", func(t *testing.T, _ *fakeetrusted.Server) []string {
		return []string{"ETRUSTED_CLIENT_ID=", "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_ACCOUNTS_DIR=" + t.TempDir()}
	}, "files", check.CauseConfiguration, "there is no account in ETRUSTED_ACCOUNTS_DIR", "client_id"},
	{"account without secret", account("id", ""), "files", check.CauseConfiguration, "shop-de/client_secret does not exist", ""},
	{"account with a UTF-16 file", account("\xfe\xff\x00i", "secret"), "files", check.CauseConfiguration, "shop-de/client_id is UTF-16", ""},
}

var credentialSituations = []situation{
	{"wrong secret", variables("ETRUSTED_CLIENT_SECRET=wrong"), "token", check.CauseCredentials, "the login server rejected the credentials (401 Unauthorized, invalid_client)", "\n3. The Client Secret is the one that \"Show\" displays now"},
	{"disabled client", tokenFault(fakeetrusted.OAuthError(400, "unauthorized_client")), "token", check.CauseCredentials, "the login server rejected the credentials (400 Bad Request, unauthorized_client)", "1. \"Client enabled\" is green.\n"},
	{"swapped", variables("ETRUSTED_CLIENT_ID=s3cret", "ETRUSTED_CLIENT_SECRET=a1b2c3d4e5f6__shop"), "token", check.CauseCredentials, "ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_SECRET are probably swapped: ", "SSO Client Management"},
	{"Identifier without prefix", variables("ETRUSTED_CLIENT_ID=shop"), "token", check.CauseCredentials, "ETRUSTED_CLIENT_ID looks like an Identifier without its prefix", "prefix and Identifier together"},
	{"quotes", secretFile(`"s3cret"`), "token", check.CauseCredentials, "ETRUSTED_CLIENT_SECRET_FILE begins or ends with quotes or spaces", ""},
	{"blank at the end", secretFile("s3cret \n"), "token", check.CauseCredentials, "ETRUSTED_CLIENT_SECRET_FILE begins or ends with quotes or spaces", ""},
	{"line of a .env file", secretFile("ETRUSTED_CLIENT_SECRET=s3cret\n"), "token", check.CauseCredentials, "ETRUSTED_CLIENT_SECRET_FILE contains NAME=VALUE: write only the value into it", ""},
	{"same value twice", variables("ETRUSTED_CLIENT_SECRET=" + fakeetrusted.DefaultClientID), "token", check.CauseCredentials, "ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_SECRET have the same value; the login server rejected", ""},
	{"refused audience", variables("ETRUSTED_AUDIENCE=https://api.etrusted.com/"), "token", check.CauseConfiguration, "ETRUSTED_AUDIENCE is set, and was probably refused", "Unset ETRUSTED_AUDIENCE"},
	{"refused scope", tokenFault(fakeetrusted.OAuthError(400, "invalid_scope")), "token", check.CauseConfiguration, "invalid_scope", "ETRUSTED_SCOPES"},
}

// page is what a hotel or a firewall sends.
const page = "<!doctype html><title>Welcome to the hotel</title>"

var loginSituations = []situation{
	{"login server, no such host", variables("ETRUSTED_TOKEN_URL=https://nosuch.invalid/oauth/token"), "login server: DNS", check.CauseNetwork, "nosuch.invalid was not found: ", "this machine's DNS"},
	{"login server refuses the connection", variables("ETRUSTED_TOKEN_URL=http://127.0.0.1:1/oauth/token"), "login server: TCP", check.CauseLoginServer, " refused the connection", "Nothing listens at the address in ETRUSTED_TOKEN_URL"},
	{"login server does not answer", tokenFault(fakeetrusted.Hang()), "token", check.CauseLoginServer, "the login server did not answer in time", ""},
	{"login server down", tokenFault(fakeetrusted.Status(503, nil)), "token", check.CauseLoginServer, "the login server answered 503 Service Unavailable", ""},
	{"too many token requests", tokenFault(fakeetrusted.Status(429, nil)), "token", check.CauseLoginServer, "too many token requests: the login server answered 429", "other copies of the broker"},
	{"page of a firewall", tokenFault(fakeetrusted.Answer(403, "text/html", page)), "token", check.CauseNetwork, "something between the broker and the login server refused the request (403, HTML)", "firewall"},
	{"page of a hotel", tokenFault(fakeetrusted.Answer(200, "text/html", page)), "token", check.CauseConfiguration, "the login server did not return a token response: it is HTML or XML", "Check that ETRUSTED_TOKEN_URL"},
	{"wrong path of the token endpoint", tokenFault(fakeetrusted.Status(404, nil)), "token", check.CauseConfiguration, "the login server did not return a token response: its status is 404", "Check that ETRUSTED_TOKEN_URL"},
	{"redirect of the token endpoint", tokenFault(fakeetrusted.Redirect(301, "/")), "token", check.CauseConfiguration, "it is a redirect (301), which is never followed", ""},
	{"wrong clock", func(_ *testing.T, s *fakeetrusted.Server) []string {
		s.SetTokenFault(lateBy(fakeetrusted.New(fakeetrusted.Options{}), -10*time.Minute))
		s.SetAPIFault(fakeetrusted.Answer(200, "application/json", "[1,2]"))
		return nil
	}, "clock", check.CauseMachine, "this machine's clock is 10m", "ntp"},
}

var apiSituations = []situation{
	{"API, no such host", variables("ETRUSTED_API_URL=https://nosuch.invalid"), "API: DNS", check.CauseNetwork, "nosuch.invalid was not found: ", "this machine's DNS"},
	{"API refuses the connection", variables("ETRUSTED_API_URL=http://127.0.0.1:1"), "API: TCP", check.CauseAPI, " refused the connection", "Nothing listens at the address in ETRUSTED_API_URL"},
	{"API does not answer", apiFault(fakeetrusted.Hang()), "GET /channels", check.CauseAPI, "the API did not answer in time", ""},
	{"API down", apiFault(fakeetrusted.Answer(503, "text/html", page)), "GET /channels", check.CauseAPI, "the API returned 503 Service Unavailable", "eTrusted status page"},
	{"too many requests", apiFault(fakeetrusted.Status(429, nil)), "GET /channels", check.CauseAPI, "too many requests: the API returned 429 Too Many Requests", ""},
	{"missing rights", apiFault(fakeetrusted.Status(403, nil)), "GET /channels", check.CauseRights, "the client lacks the rights: the API returned 403 Forbidden", "eTrusted administrator"},
	{"token refused", apiFault(fakeetrusted.Status(401, nil)), "GET /channels", check.CauseConfiguration, "the API rejected the token (401 Unauthorized)", "ETRUSTED_AUDIENCE"},
	{"page in the API's place", apiFault(fakeetrusted.Answer(200, "text/html; charset=utf-8", page)), "GET /channels", check.CauseConfiguration, "another server answered in the API's place (200 OK): the response is HTML", "Check ETRUSTED_API_URL"},
	{"page without a type", apiFault(fakeetrusted.Answer(404, "", "\n "+page)), "GET /channels", check.CauseConfiguration, "another server answered in the API's place (404 Not Found): the response is HTML", ""},
	{"page of a firewall before the API", apiFault(fakeetrusted.Answer(403, "text/html", page)), "GET /channels", check.CauseConfiguration, "another server answered in the API's place (403 Forbidden): the response is HTML", ""},
	{"another API", apiFault(fakeetrusted.Answer(200, "application/json", `{"hello":"world"}`)), "GET /channels", check.CauseConfiguration, "the response is not a list of channels", "Check ETRUSTED_API_URL"},
	{"wrong API", apiFault(fakeetrusted.Answer(404, "application/json", `{}`)), "GET /channels", check.CauseConfiguration, "wrong URL: the server has no /channels (404 Not Found)", "Check ETRUSTED_API_URL"},
	{"redirect of the API", func(t *testing.T, s *fakeetrusted.Server) []string {
		away := brokertest.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
		s.SetAPIFault(fakeetrusted.Redirect(307, away))
		return nil
	}, "GET /channels", check.CauseConfiguration, "wrong URL: the response is a redirect (307 Temporary Redirect), which is never followed", ""},
}

var tlsSituations = []situation{
	{"API does not answer TLS", func(t *testing.T, _ *fakeetrusted.Server) []string {
		return []string{"ETRUSTED_API_URL=https://" + silentServer(t)}
	}, "API: TLS", check.CauseNetwork, " did not finish the TLS handshake in time", ""},
	{"unknown authority", func(t *testing.T, s *fakeetrusted.Server) []string {
		return []string{"ETRUSTED_TOKEN_URL=" + tlsServer(t, s, brokertest.NewCA(t, "Corporate \x1b[31m Proxy\n✓"), forLoopback()) + "/oauth/token"}
	}, "login server: TLS", check.CauseMachine, "has a certificate of an unknown authority: issued by Corporate-31m-Proxy-", "SSL_CERT_FILE"},
	{"expired certificate", func(t *testing.T, s *fakeetrusted.Server) []string {
		expired := forLoopback()
		expired.NotAfter = time.Now().Add(-time.Minute)
		return []string{"ETRUSTED_TOKEN_URL=" + tlsServer(t, s, brokertest.NewCA(t, "a"), expired) + "/oauth/token"}
	}, "login server: TLS", check.CauseLoginServer, "has a certificate that is expired or not yet valid: ", "Check this machine's clock first"},
	{"certificate for another name", func(t *testing.T, s *fakeetrusted.Server) []string {
		other := forLoopback("other.example", "\x1b]0;evil\a.example")
		other.IPAddresses = nil
		return []string{"ETRUSTED_API_URL=" + strings.Replace(tlsServer(t, s, brokertest.NewCA(t, "a"), other), "127.0.0.1", "localhost", 1)}
	}, "API: TLS", check.CauseConfiguration, "has a certificate for another host name: issued by a for other.example, -0-evil-.example, ", "Check ETRUSTED_API_URL"},
	{"no TLS", func(t *testing.T, s *fakeetrusted.Server) []string {
		return []string{"ETRUSTED_API_URL=" + strings.Replace(brokertest.Serve(t, s), "http:", "https:", 1)}
	}, "API: TLS", check.CauseConfiguration, "does not speak TLS", "Check ETRUSTED_API_URL"},
}

var listenerSituations = []situation{
	{"Tomcat on the port", func(t *testing.T, _ *fakeetrusted.Server) []string {
		tomcat := brokertest.Serve(t, fakeetrusted.Answer(404, "text/html", "<title>HTTP Status 404</title><h3>Apache Tomcat/9.0.71</h3>"))
		return []string{"BROKER_LISTEN=" + strings.TrimPrefix(tomcat, "http://")}
	}, "app's listener", check.CauseMachine, " is in use by another program: Tomcat", "set BROKER_LISTEN to another address"},
	{"nginx on the port", func(t *testing.T, _ *fakeetrusted.Server) []string {
		nginx := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", "nginx/1.24.0") }))
		return []string{"BROKER_ADMIN_LISTEN=" + strings.TrimPrefix(nginx, "http://")}
	}, "admin listener", check.CauseMachine, " is in use by another program: nginx", "set BROKER_ADMIN_LISTEN to another address"},
	{"both listeners on one port", variables("BROKER_LISTEN=127.0.0.1:1", "BROKER_ADMIN_LISTEN=127.0.0.1:1"), "admin listener", check.CauseConfiguration, "BROKER_LISTEN and BROKER_ADMIN_LISTEN use the same port", ""},
	{"address of another machine", variables("BROKER_ADMIN_LISTEN=192.0.2.1:9464"), "admin listener", check.CauseMachine, "BROKER_ADMIN_LISTEN 192.0.2.1:9464 is not an address of this machine", ""},
	{"socket without directory", variables("BROKER_LISTEN=unix:///nosuch/broker.sock"), "app's listener", check.CauseMachine, "is in a directory that does not exist: create it", ""},
	{"program that says nothing on the port", func(t *testing.T, _ *fakeetrusted.Server) []string {
		return []string{"BROKER_LISTEN=" + brokertest.ServeRaw(t, func(conn net.Conn) { _ = conn.Close() })}
	}, "app's listener", check.CauseMachine, " is in use by another program, or by a broker with different settings", ""},
}

// The proxy, and with it names that are not in any DNS, need a process: see checkProcess.
func TestCheckNamesLikelyCauseBehindProxyFirst(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	ca := brokertest.NewCA(t, "authority")
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	brokertest.ReplaceFile(t, bundle, ca.CertificatePEM())
	secure := strings.TrimPrefix(tlsServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth/token" || r.URL.Path == "/channels" {
			eTrusted.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	}), ca, forLoopback("api.etrusted.com", "login.etrusted.com")), "https://")
	proxy := brokertest.ServeRaw(t, func(conn net.Conn) { // it knows only eTrusted's hosts
		request := make([]byte, 4<<10)
		n, _ := conn.Read(request)
		line, _, _ := strings.Cut(string(request[:n]), "\r\n")
		if !strings.Contains(line, " api.etrusted.com:443 ") && !strings.Contains(line, " login.etrusted.com:443 ") {
			_, _ = io.WriteString(conn, "HTTP/1.1 503 No such host\r\n\r\n")
			return
		}
		tunnelTo(conn, secure)
	})
	for _, test := range []situation{
		{"mistyped API", variables("ETRUSTED_API_URL=https://api.etrusted.co"), "API: proxy", check.CauseConfiguration, "ETRUSTED_API_URL is probably mistyped: ", "Set ETRUSTED_API_URL to https://api.etrusted.com if that is what you mean."},
		{"mistyped login server", variables("ETRUSTED_TOKEN_URL=https://logn.etrusted.com/oauth/token"), "login server: proxy", check.CauseConfiguration, "ETRUSTED_TOKEN_URL is probably mistyped: ", "Set ETRUSTED_TOKEN_URL to https://login.etrusted.com/oauth/token "},
		{"mistyped token endpoint", variables("ETRUSTED_TOKEN_URL=https://login.etrusted.com/oauth/tokens"), "token", check.CauseConfiguration, "ETRUSTED_TOKEN_URL is probably mistyped: the login server did not return a token response: its status is 404", "Set ETRUSTED_TOKEN_URL to "},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			environ := append(brokertest.Environ(""), "ETRUSTED_API_URL=", "ETRUSTED_TOKEN_URL=", "HTTPS_PROXY=http://"+proxy, "SSL_CERT_FILE="+bundle)
			code, stdout, stderr := checkProcess(t, append(environ, test.environ(t, eTrusted)...), "-json")
			test.verify(t, code, stdout, stderr)
		})
	}
}

func TestRecognisesMistypedURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://api.etrusted.com":                  "",
		"https://api.etrusted.site":                 "",
		"https://login-qa.etrusted.com/oauth/token": "",
		"https://api.etrusted.co":                   "https://api.etrusted.com",
		"https://api.etrustd.com":                   "https://api.etrusted.com",
		"https://api.etrsuted.com":                  "https://api.etrusted.com",
		"https://api-etrusted.com":                  "https://api.etrusted.com",
		"https://api.etrusted.sit":                  "https://api.etrusted.site",
		"https://login.etrusted.com/oauth/tokens":   "https://login.etrusted.com/oauth/token",
		"https://login.etrusted.com/oauth/token/":   "https://login.etrusted.com/oauth/token",
		"https://login-q.etrusted.com/oauth/token":  "https://login-qa.etrusted.com/oauth/token",
		"https://gateway.example":                   "",
		"http://127.0.0.1:8080":                     "",
		"https://login.etrusted.com/auth/realms/business/protocol/openid-connect/token": "",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := similarETrustedURL(u); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
