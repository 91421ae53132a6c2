package check

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

func TestAllStepsPass(t *testing.T) {
	t.Parallel()
	report, text := runCheck(t, healthyConfig(t))
	if !report.OK || report.Interrupted || len(report.Causes) != 0 || report.Summary != "All checks passed." {
		t.Errorf("%+v\n%s", report, text)
	}
	for _, line := range []string{"login.example has 2 addresses\n", "api.example has 2 addresses\n", "channels: 3\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("got no %q in:\n%s", line, text)
		}
	}
}

func TestReportsDNSFailures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		server func(string) code
		says   string
	}{
		{"no such host", resolves("api.example."), "cannot resolve login.example: it has no address"},
		{"no answer", func(name string) code {
			if name == "login.example." {
				return noReply
			}
			return noError
		}, "cannot resolve login.example: the DNS server did not answer in time"},
		{"a broken name server", func(name string) code {
			if name == "login.example." {
				return servFail
			}
			return noError
		}, "cannot resolve login.example: the DNS server failed, or none is configured"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := healthyConfig(t)
			config.Resolver, config.Timeout = nameServer(t, test.server), testTimeout
			if test.name == "no answer" {
				config.Timeout = 2 * time.Second
			}
			mustFail(t, config, "login server: DNS", test.says, CauseNetwork)
		})
	}
}

func TestReportsConnectionFailures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, says string
		cause      Cause
		dial       func(context.Context) error
	}{
		{"time-out", "api.example:80 did not accept the connection in time", CauseNetwork, func(ctx context.Context) error {
			<-ctx.Done()
			return &net.OpError{Op: "dial", Err: ctx.Err()}
		}},
		{"no route", "api.example:80 cannot be reached: there is no route to it", CauseNetwork, func(context.Context) error {
			return &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
		}},
		{"refused", "api.example:80 refused the connection", CauseAPI, func(context.Context) error {
			return &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := healthyConfig(t)
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
			mustFail(t, config, "API: TCP", test.says, test.cause)
		})
	}
}

// TestReportsProxyFailures has the cases that the tests of the whole program cannot have.
func TestReportsProxyFailures(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, proxy, step, says string
		handle                  func(net.Conn)
	}{
		{"silent", "http://user:CANARY@proxy.example:3128", "API: proxy", "api.example:443 was not reached: the HTTP proxy did not answer in time", readForever},
		{"endless", "http://proxy.example:3128", "API: proxy", "api.example:443 was not reached: the HTTP proxy does not answer as one", func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(conn, "X: CANARY\r\n"); err != nil {
					return
				}
			}
		}},
		{"closes", "http://proxy.example:3128", "API: proxy", "api.example:443 was not reached: the HTTP proxy does not answer as one", func(net.Conn) {}},
		{"HTTPS proxy without TLS", "https://proxy.example", "API: proxy", "the proxy (HTTPS_PROXY) proxy.example:443 does not speak TLS", func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 CANARY\r\n\r\n")
		}},
		{"aborts TLS", "http://proxy.example:3128", "API: TLS", "api.example:443 closed the connection during the TLS handshake", func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			_, _ = conn.Read(make([]byte, 4096))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := healthyConfig(t)
			config.API.URL = parse(t, "https://api.example")
			proxy, there := parse(t, test.proxy), tcpServer(t, test.handle)
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
			mustFail(t, config, test.step, test.says, CauseNetwork)
			if _, text := runCheck(t, config); strings.Contains(text, "CANARY") || !strings.Contains(text, "through the proxy proxy.example:") {
				t.Errorf("%s", text)
			}
		})
	}
}

func TestReportsInvalidProxyURL(t *testing.T) {
	t.Parallel()
	config := healthyConfig(t)
	config.Transport.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "api.example" {
			return nil, errors.New("http://user:CANARY@host")
		}
		return nil, nil
	}
	mustFail(t, config, "API: proxy", "HTTPS_PROXY is not a URL", CauseConfiguration)
}

// TestSkipsStepsBehindSOCKSProxy: only the transport supports SOCKS.
func TestSkipsStepsBehindSOCKSProxy(t *testing.T) {
	t.Parallel()
	config := healthyConfig(t)
	config.API.URL, config.Timeout = parse(t, "https://api.example"), 2*time.Second
	config.Transport.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "api.example" {
			return url.Parse("socks5://user:CANARY@proxy.example")
		}
		return nil, nil
	}
	_, text := runCheck(t, config)
	if strings.Contains(text, "API: TLS") || strings.Contains(text, "API: proxy") || strings.Contains(text, "CANARY") ||
		!strings.Contains(text, "through the proxy proxy.example:1080 (HTTPS_PROXY): connected to ") {
		t.Errorf("%s", text)
	}
}

// TestCauseOfWrongServer: the default URL has no typing error.
func TestCauseOfWrongServer(t *testing.T) {
	t.Parallel()
	for standard, cause := range map[bool]Cause{true: CauseNetwork, false: CauseConfiguration} {
		config := healthyConfig(t)
		config.API.Standard = standard
		server := fakeetrusted.New(fakeetrusted.Options{})
		server.SetAPIFault(fakeetrusted.Answer(200, "text/html", "<p>"))
		config.Transport.DialContext = inMemory(t, server).Dial
		mustFail(t, config, "GET /channels", "the response is HTML", cause)
	}
}

func TestDescribesAPIResponses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		handler http.Handler
		says    string
		warns   string
		failed  Cause
	}{
		{"a page", fakeetrusted.Answer(200, "application/json", `{"items":[1,2,3,4]}`), "channels: 4", "", ""},
		{"none", fakeetrusted.Answer(200, "application/json", `[]`), "channels: 0", "sees no channels", ""},
		{"many", fakeetrusted.Answer(200, "application/json", "["+strings.Repeat(`"x",`, maxChannelsBody/4+1)+"1]"), "too many channels to count", "", ""},
		{"null", fakeetrusted.Answer(200, "application/json", "null"), "not a list of channels", "", CauseConfiguration},
		{"nothing", fakeetrusted.Answer(200, "application/json", ""), "not a list of channels", "", CauseConfiguration},
		{"418", fakeetrusted.Status(418, nil), "unexpected response from the API: 418", "", CauseAPI},
		{"truncated", fakeetrusted.Truncate(10), "the API closed the connection before the answer was complete", "", CauseAPI},
		{"another clock", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			_, _ = io.WriteString(w, "[1]")
		}), "! the API's clock and this machine's differ by 1h0m", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := fakeetrusted.New(fakeetrusted.Options{})
			server.SetAPIFault(test.handler)
			config := healthyConfig(t)
			config.Transport.DialContext = inMemory(t, server).Dial
			if test.failed != "" {
				mustFail(t, config, "GET /channels", test.says, test.failed)
				return
			}
			report, text := runCheck(t, config)
			if !report.OK || !strings.Contains(text, test.says) || test.warns != "" && !strings.Contains(text, "! the client "+test.warns) {
				t.Errorf("%s", text)
			}
		})
	}
}

func TestMeasuresClockSkew(t *testing.T) {
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
		{date(65 * time.Second), 30 * time.Second, 50500 * time.Millisecond, false}, // half of the 30 s
	} {
		got := measureClockSkew(test.date, sent, sent.Add(test.took))
		if got == nil || *got != test.ahead || isTooLarge(*got) != test.wrong {
			t.Errorf("%s after %v: %+v, want %v, %v", test.date, test.took, got, test.ahead, test.wrong)
		}
	}
	for _, none := range []string{"", "yesterday", "CANARY\r\n"} {
		if got := measureClockSkew(none, sent, sent); got != nil {
			t.Errorf("%q: %+v", none, got)
		}
	}
}

func TestReportsClockThatIsBehind(t *testing.T) {
	t.Parallel()
	skew := 90 * time.Second
	c := &checker{Config: Config{Login: Server{URL: parse(t, "https://login.example")}, Timeout: testTimeout, OnStep: func(Step) {}}, login: &dateRecorder{skew: &skew}}
	c.checkClock(t.Context())
	if step := c.report.Steps[0]; step.Status != StatusFailed || step.Text != "this machine's clock is 1m30s behind the login server's" || step.Cause != CauseMachine {
		t.Errorf("%+v", step)
	}
}

func TestReportsCertificateOutsideValidity(t *testing.T) {
	t.Parallel()
	r := route{server: Server{Cause: CauseLoginServer}, target: "login.example:443"}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		from, until time.Duration
		says        string
		cause       Cause
	}{
		{-48 * time.Hour, -24 * time.Hour, "login.example:443 has a certificate that expired on 2026-01-01", CauseLoginServer},
		{24 * time.Hour, 48 * time.Hour, "login.example:443 has a certificate that is not valid before 2026-01-03", CauseMachine},
	} {
		got := r.outsideValidity(&x509.Certificate{NotBefore: now.Add(test.from), NotAfter: now.Add(test.until)}, now)
		if got.Text != test.says || got.Cause != test.cause || !strings.Contains(got.Advice, "it says 2026-01-02 03:04:05 UTC") {
			t.Errorf("%+v, want %q", got, test.says)
		}
	}
}

// TestInterruptionIsNoFailure: an interrupted step is not reported as failed.
func TestInterruptionIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	config := healthyConfig(t)
	config.OnStep = func(step Step) {
		if step.Name == "login server: TCP" {
			cancel()
		}
	}
	report := Run(ctx, config)
	if report.OK || !report.Interrupted || len(report.Causes) != 0 || report.Summary != "The check was interrupted before the end." {
		t.Errorf("%+v", report)
	}
	if last := report.Steps[len(report.Steps)-1]; last.Name != "login server: TCP" {
		t.Errorf("got a step after the interruption: %+v", last)
	}
}

func TestPrinter(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	p := NewPrinter(&text)
	p.Step(Step{Name: "files", Status: StatusOK, Seconds: 0.0124, Text: "all readable", Warnings: []string{"one is open"}})
	p.Step(Step{Name: "login server: DNS", Status: StatusFailed, Seconds: 9.96, Text: "not found", Advice: "Look.", Cause: CauseNetwork})
	p.Step(Step{Name: "token", Account: "shop-de", Status: StatusFailed, Text: "none", Advice: "Look.", Cause: CauseNetwork})
	p.Step(Step{Name: "token", Account: "default", Status: StatusSkipped, Text: "skipped"})
	p.Summary(Report{Summary: "Problem: you."})
	want := `✓ files                  12 ms  all readable
      ! one is open
✗ login server: DNS     10.0 s  not found
      What to do: Look.
✗ token of shop-de        0 ms  none
– token                         skipped
Problem: you.
`
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
}
