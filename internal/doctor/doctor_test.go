package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

func TestHealthy(t *testing.T) {
	t.Parallel()
	report, text := examined(t, healthy(t))
	if !report.OK || report.Interrupted || len(report.Faults) != 0 {
		t.Errorf("%+v\n%s", report, text)
	}
	for _, line := range []string{"login.example has 2 addresses\n", "api.example has 2 addresses\n", "channels: 3\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("does not say %q:\n%s", line, text)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		server func(string) code
		says   string
	}{
		{"no such host", knows("api.example."), "login.example was not found: its host name has no address"},
		{"no answer", func(name string) code {
			if name == "login.example." {
				return silence
			}
			return noError
		}, "login.example was not found: the name server did not answer in time"},
		{"a broken name server", func(name string) code {
			if name == "login.example." {
				return servFail
			}
			return noError
		}, "login.example was not found: the name server could not tell, or there is none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := healthy(t)
			config.Resolver, config.Timeout = nameServer(t, test.server), patience
			if test.name == "no answer" {
				config.Timeout = 2 * time.Second
			}
			mustFail(t, config, "login server: DNS", test.says, Network)
		})
	}
}

// TestConnections is about what the dialer comes back with.
func TestConnections(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, says string
		fault      Fault
		dial       func(context.Context) error
	}{
		{"time-out", "api.example:80 did not accept the connection in time", Network, func(ctx context.Context) error {
			<-ctx.Done()
			return &net.OpError{Op: "dial", Err: ctx.Err()}
		}},
		{"no route", "api.example:80 cannot be reached: there is no route to it", Network, func(context.Context) error {
			return &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
		}},
		{"refused", "api.example:80 refused the connection", API, func(context.Context) error {
			return &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := healthy(t)
			good := config.Transport.DialContext
			config.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				if strings.HasPrefix(address, "api.") {
					return nil, test.dial(ctx)
				}
				return good(ctx, network, address)
			}
			if test.name == "time-out" {
				config.Timeout = 2 * time.Second
			}
			mustFail(t, config, "API: TCP", test.says, test.fault)
		})
	}
}

// TestProxies is about those that a test of the whole program cannot have.
func TestProxies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, proxy, step, says string
		handle                  func(net.Conn)
	}{
		{"silent", "http://user:CANARY@proxy.example:3128", "API: proxy", "api.example:443 was not reached: the HTTP proxy did not answer in time", silent},
		{"endless", "http://proxy.example:3128", "API: proxy", "api.example:443 was not reached: the HTTP proxy does not answer as one", func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(conn, "X: CANARY\r\n"); err != nil {
					return
				}
			}
		}},
		{"closes", "http://proxy.example:3128", "API: proxy", "api.example:443 was not reached: the HTTP proxy does not answer as one", func(net.Conn) {}},
		{"over TLS, and is not", "https://proxy.example", "API: proxy", "the proxy (HTTPS_PROXY) proxy.example:443 does not speak TLS", func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 CANARY\r\n\r\n")
		}},
		{"cuts TLS", "http://proxy.example:3128", "API: TLS", "api.example:443 closed the connection in the middle of the TLS handshake", func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			_, _ = conn.Read(make([]byte, 4096))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := healthy(t)
			config.API.URL = parse(t, "https://api.example")
			proxy, there := parse(t, test.proxy), raw(t, test.handle)
			config.Transport.Proxy = func(r *http.Request) (*url.URL, error) {
				if r.URL.Hostname() == "api.example" {
					return proxy, nil
				}
				return nil, nil
			}
			good := config.Transport.DialContext
			config.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == hostPort(proxy) {
					return new(net.Dialer).DialContext(ctx, "tcp", there)
				}
				return good(ctx, network, address)
			}
			if test.name == "silent" {
				config.Timeout = 2 * time.Second
			}
			mustFail(t, config, test.step, test.says, Network)
			if _, text := examined(t, config); strings.Contains(text, "CANARY") || !strings.Contains(text, "through the proxy proxy.example:") {
				t.Errorf("%s", text)
			}
		})
	}
}

func TestProxyThatIsNoURL(t *testing.T) {
	t.Parallel()
	config := healthy(t)
	config.Transport.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "api.example" {
			return nil, errors.New("http://user:CANARY@host")
		}
		return nil, nil
	}
	mustFail(t, config, "API: proxy", "HTTPS_PROXY is not a URL", Configuration)
}

// TestSOCKS holds that a proxy that only the transport can talk to is not talked to otherwise.
func TestSOCKS(t *testing.T) {
	t.Parallel()
	config := healthy(t)
	config.API.URL, config.Timeout = parse(t, "https://api.example"), 2*time.Second
	config.Transport.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "api.example" {
			return url.Parse("socks5://user:CANARY@proxy.example")
		}
		return nil, nil
	}
	_, text := examined(t, config)
	if strings.Contains(text, "API: TLS") || strings.Contains(text, "API: proxy") || strings.Contains(text, "CANARY") ||
		!strings.Contains(text, "through the proxy proxy.example:1080 (HTTPS_PROXY): connected to ") {
		t.Errorf("%s", text)
	}
}

// TestBlameOfAnAddress holds that eTrusted's own address is not taken for a typing error.
func TestBlameOfAnAddress(t *testing.T) {
	t.Parallel()
	for standard, fault := range map[bool]Fault{true: Network, false: Configuration} {
		config := healthy(t)
		config.API.Standard = standard
		server := fakeetrusted.New(fakeetrusted.Options{})
		server.SetAPIFault(fakeetrusted.Answer(200, "text/html", "<p>"))
		config.Transport.DialContext = memory(t, server).Dial
		mustFail(t, config, "GET /channels", "HTML came back", fault)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		handler http.Handler
		says    string
		warns   string
		failed  Fault
	}{
		{"a page", fakeetrusted.Answer(200, "application/json", `{"items":[1,2,3,4]}`), "channels: 4", "", ""},
		{"none", fakeetrusted.Answer(200, "application/json", `[]`), "channels: 0", "sees no channel", ""},
		{"many", fakeetrusted.Answer(200, "application/json", "["+strings.Repeat(`"x",`, maxAnswer/4+1)+"1]"), "more channels than were read", "", ""},
		{"null", fakeetrusted.Answer(200, "application/json", "null"), "no list of channels", "", Configuration},
		{"nothing", fakeetrusted.Answer(200, "application/json", ""), "no list of channels", "", Configuration},
		{"a teapot", fakeetrusted.Status(418, nil), "the API answered 418", "", API},
		{"broken off", fakeetrusted.Truncate(10), "the API closed the connection before the answer was complete", "", API},
		{"another clock", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			_, _ = io.WriteString(w, "[1]")
		}), "! the API's clock and this machine's are 1h0m", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := fakeetrusted.New(fakeetrusted.Options{})
			server.SetAPIFault(test.handler)
			config := healthy(t)
			config.Transport.DialContext = memory(t, server).Dial
			if test.failed != "" {
				mustFail(t, config, "GET /channels", test.says, test.failed)
				return
			}
			report, text := examined(t, config)
			if !report.OK || !strings.Contains(text, test.says) || test.warns != "" && !strings.Contains(text, "! the client "+test.warns) {
				t.Errorf("%s", text)
			}
		})
	}
}

func TestReadingOfAClock(t *testing.T) {
	t.Parallel()
	sent := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	date := func(d time.Duration) string { return sent.Add(d).Format(http.TimeFormat) }
	for _, test := range []struct {
		date  string
		took  time.Duration
		ahead time.Duration
		wrong bool
	}{
		{date(0), 0, 500 * time.Millisecond, false},
		{date(5 * time.Second), 10 * time.Second, 500 * time.Millisecond, false},
		{date(59 * time.Second), 0, 59500 * time.Millisecond, false},
		{date(60 * time.Second), 0, 60500 * time.Millisecond, true},
		{date(-60 * time.Second), 0, -59500 * time.Millisecond, false},
		{date(-61 * time.Second), 0, -60500 * time.Millisecond, true},
		{date(65 * time.Second), 30 * time.Second, 50500 * time.Millisecond, false}, // on its way for a quarter of a minute
	} {
		got := read(test.date, sent, sent.Add(test.took))
		if got == nil || got.ahead != test.ahead || got.isWrong() != test.wrong {
			t.Errorf("%s after %v: %+v, want %v, %v", test.date, test.took, got, test.ahead, test.wrong)
		}
	}
	for _, none := range []string{"", "yesterday", "CANARY\r\n"} {
		if got := read(none, sent, sent); got != nil {
			t.Errorf("%q: %+v", none, got)
		}
	}
}

func TestClockThatIsSlow(t *testing.T) {
	t.Parallel()
	e := &examination{Config: Config{Login: Server{URL: parse(t, "https://login.example")}, Timeout: patience, Tell: func(Step) {}}}
	e.clock(t.Context(), &reading{ahead: 90 * time.Second})
	if step := e.report.Steps[0]; step.Status != Failed || step.Text != "this machine's clock is 1m30s behind the login server's" || step.Fault != Machine {
		t.Errorf("%+v", step)
	}
}

func TestOutOfDate(t *testing.T) {
	t.Parallel()
	r := route{server: Server{Fault: LoginServer}, target: "login.example:443"}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		from, until time.Duration
		says        string
		fault       Fault
	}{
		{-48 * time.Hour, -24 * time.Hour, "login.example:443 has a certificate that expired on 2026-01-01", LoginServer},
		{24 * time.Hour, 48 * time.Hour, "login.example:443 has a certificate that is not yet valid: it will be on 2026-01-03", Machine},
	} {
		got := r.outOfDate(&x509.Certificate{NotBefore: now.Add(test.from), NotAfter: now.Add(test.until)}, now)
		if got.text != test.says || got.fault != test.fault || !strings.Contains(got.advice, "it says 2026-01-02 03:04:05 UTC") {
			t.Errorf("%+v, want %q", got, test.says)
		}
	}
}

// TestInterruption holds that what was broken off is not taken for a failure.
func TestInterruption(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	config := healthy(t)
	config.Tell = func(step Step) {
		if step.Name == "login server: TCP" {
			cancel()
		}
	}
	report := Examine(ctx, config)
	if report.OK || !report.Interrupted || len(report.Faults) != 0 || !strings.HasPrefix(report.Verdict, "the check was interrupted") {
		t.Errorf("%+v", report)
	}
	if last := report.Steps[len(report.Steps)-1]; last.Name != "login server: TCP" {
		t.Errorf("goes on after it was interrupted: %+v", last)
	}
}

func TestPrinter(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	p := NewPrinter(&text)
	p.Step(Step{Name: "files", Status: OK, Seconds: 0.0124, Text: "all there", Warnings: []string{"one is open"}})
	p.Step(Step{Name: "login server: DNS", Status: Failed, Seconds: 9.96, Text: "not found", Advice: "Look.", Fault: Network})
	p.Step(Step{Name: "token", Account: "shop-de", Status: Failed, Text: "none", Advice: "Look.", Fault: Network})
	p.Step(Step{Name: "token", Account: "default", Status: Skipped, Text: "not tried"})
	p.Verdict(Report{Verdict: "at fault: you"})
	want := `✓ files                  12 ms  all there
      ! one is open
✗ login server: DNS     10.0 s  not found
      What to do: Look.
✗ token of shop-de        0 ms  none
– token                         not tried
Verdict: at fault: you.
`
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
}
