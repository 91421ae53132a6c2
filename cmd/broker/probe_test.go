package main

import (
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// adminEnv returns the variable with the admin listener's address.
func adminEnv(url string) string { return "BROKER_ADMIN_LISTEN=" + strings.TrimPrefix(url, "http://") }

// adminAddressInState returns the admin address of a broker in the state. If state is an address, it returns that.
func adminAddressInState(t *testing.T, state string) (address string) {
	t.Helper()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	environ := brokertest.Environ(brokertest.Serve(t, eTrusted))
	var b *brokertest.Broker
	switch state {
	case "ready":
		b = startBroker(t, nil, environ)
		b.WaitReady()
	case "starting":
		eTrusted.SetTokenFault(fakeetrusted.Hang())
		b = startBroker(t, nil, environ)
	case "rejected":
		b = startBroker(t, nil, append(environ, "ETRUSTED_CLIENT_SECRET=wrong"))
		brokertest.Eventually(t, "the rejection is known", func() bool { return len(b.Logs.Lines("token request failed")) == 1 })
	default:
		return state
	}
	return strings.TrimPrefix(b.Admin, "http://")
}

func TestHealthAndWaitReportBrokerState(t *testing.T) {
	t.Parallel()
	const unused = "127.0.0.1:1"
	tests := []struct {
		name   string
		args   []string
		admin  string // a state, or the value of BROKER_ADMIN_LISTEN
		code   int
		stderr []string // parts of it; empty if nil
	}{
		{"health", []string{"health"}, "ready", exitOK, nil},
		{"health while starting", []string{"health"}, "starting", exitOK, nil},
		{"health while rejected", []string{"health"}, "rejected", exitOK, nil},
		{"health without a broker", []string{"health"}, unused, exitFailure,
			[]string{"broker health: ", "the broker's admin listener on " + unused + " refused the connection: is it running?"}},
		{"wait", []string{"wait"}, "ready", exitOK, nil},
		{"wait while starting", []string{"wait", "-timeout", "2s"}, "starting", exitFailure,
			[]string{"broker wait: gave up after 2s: not ready: the first token is being fetched"}},
		{"wait while rejected", []string{"wait", "-timeout=2s"}, "rejected", exitFailure,
			[]string{"gave up after 2s: not ready: ", "rejected the credentials", "SSO Client Management"}},
		{"wait without a broker", []string{"wait", "-timeout", "2s"}, unused, exitFailure,
			[]string{"gave up after 2s: ", "the broker's admin listener on " + unused + " refused the connection: is it running?"}},
		{"health, admin off", []string{"health"}, "", exitUsageOrConfig, []string{"broker health: BROKER_ADMIN_LISTEN is empty"}},
		{"wait, admin off", []string{"wait"}, "", exitUsageOrConfig, []string{"broker wait: BROKER_ADMIN_LISTEN is empty"}},
		{"health, no address", []string{"health"}, "9464", exitUsageOrConfig, []string{"broker health: BROKER_ADMIN_LISTEN: must be HOST:PORT"}},
		{"wait, no address", []string{"wait"}, "9464", exitUsageOrConfig, []string{"broker wait: BROKER_ADMIN_LISTEN: must be HOST:PORT"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// These commands ignore invalid variables that they do not use.
			code, stdout, stderr := ask(test.args, "BROKER_ADMIN_LISTEN="+adminAddressInState(t, test.admin), "BROKER_TOKEN_WAIT=soon", "ETRUSTED_API_URL=nonsense")
			if code != test.code || stdout != "" {
				t.Errorf("got exit code %d, stdout %q, want %d and none", code, stdout, test.code)
			}
			if test.stderr == nil && stderr != "" {
				t.Errorf("got stderr %q, want none", stderr)
			}
			for _, part := range test.stderr {
				if !strings.Contains(stderr, part) {
					t.Errorf("got no %q in stderr %q", part, stderr)
				}
			}
			if strings.Count(stderr, "\n") > 1 {
				t.Errorf("got more than one line: %q", stderr)
			}
		})
	}
}

// TestProbesUseLoopbackForWildcardAddress: not every system lets a client connect to 0.0.0.0 or [::].
func TestProbesUseLoopbackForWildcardAddress(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ADMIN_LISTEN=0.0.0.0:0"))
	_, port, err := net.SplitHostPort(strings.TrimPrefix(b.Admin, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"0.0.0.0:", ":", "[::]:", "127.0.0.1:", "localhost:"} {
		for _, command := range []string{"health", "wait"} {
			if code, _, stderr := ask([]string{command}, "BROKER_ADMIN_LISTEN="+address+port); code != exitOK {
				t.Errorf("%s %s: got exit code %d, want %d: %s", command, address, code, exitOK, stderr)
			}
		}
	}
}

// The name by which health and wait reach the broker need not be in BROKER_ALLOWED_HOSTS.
func TestProbesNeedNoAllowedHost(t *testing.T) {
	t.Parallel()
	name, err := os.Hostname()
	if _, lookupErr := net.DefaultResolver.LookupHost(t.Context(), name); err != nil || lookupErr != nil || name == "localhost" {
		t.Skip("this machine has no name that resolves")
	}
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ADMIN_LISTEN=:0"))
	_, port, err := net.SplitHostPort(strings.TrimPrefix(b.Admin, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(name, port)
	if got := brokertest.Get(t, "http://"+address+"/healthz"); got.Status != http.StatusMisdirectedRequest {
		t.Errorf("got status %d for another request to that name, want 421", got.Status)
	}
	for _, command := range []string{"health", "wait"} {
		if code, _, stderr := ask([]string{command}, "BROKER_ADMIN_LISTEN="+address); code != exitOK {
			t.Errorf("%s: got exit code %d, want %d: %s", command, code, exitOK, stderr)
		}
	}
}

// The status is enough: health does not wait for the body of a 200.
func TestHealthReadsNoBody(t *testing.T) {
	t.Parallel()
	url := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush() // the header
		<-r.Context().Done()
	}))
	start := time.Now()
	if code, _, stderr := ask([]string{"health"}, adminEnv(url)); code != exitOK || time.Since(start) >= probeTimeout {
		t.Errorf("got exit code %d after %v, want %d at once: %s", code, time.Since(start), exitOK, stderr)
	}
}

func TestHealthSaysThatItWasInterrupted(t *testing.T) {
	t.Parallel()
	if code, _, stderr := invoke([]string{"health"}, adminEnv(brokertest.Serve(t, http.NotFoundHandler()))); code != exitFailure || stderr != "broker health: context canceled\n" {
		t.Errorf("got exit code %d and %q, want %d and the interruption", code, stderr, exitFailure)
	}
}

func TestAdminAddress(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"0.0.0.0:9":      "127.0.0.1:9",
		":9":             "127.0.0.1:9",
		"[::]:9":         "127.0.0.1:9",
		"[::1]:9":        "[::1]:9",
		"10.0.0.1:9":     "10.0.0.1:9",
		"broker.local:9": "broker.local:9",
	} {
		i := invocation{environ: []string{"BROKER_ADMIN_LISTEN=" + value}}
		if got, err := i.adminAddress(); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", value, got, err, want)
		}
	}
	i := invocation{}
	if got, err := i.adminAddress(); err != nil || got != "127.0.0.1:9464" {
		t.Errorf("unset: got %s, %v, want 127.0.0.1:9464", got, err)
	}
}

// TestWaitPollsUntilReady: wait repeats the request until the broker is ready.
func TestWaitPollsUntilReady(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	url := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || requests.Add(1) < 3 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	if code, _, stderr := ask([]string{"wait", "-timeout", brokertest.Timeout.String()}, adminEnv(url)); code != exitOK || requests.Load() != 3 {
		t.Errorf("got exit code %d after %d requests, want %d after 3: %s", code, requests.Load(), exitOK, stderr)
	}
}

// TestWaitReportsLastResponse: wait still reports the last reason if the timeout interrupts a later request.
func TestWaitReportsLastResponse(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	url := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			<-r.Context().Done()
		}
		http.Error(w, "not ready: the reason", http.StatusServiceUnavailable)
	}))
	code, _, stderr := ask([]string{"wait", "-timeout", "2s"}, adminEnv(url))
	if code != exitFailure || stderr != "broker wait: gave up after 2s: not ready: the reason\n" {
		t.Errorf("got exit code %d after %d requests, want %d and the reason: %s", code, requests.Load(), exitFailure, stderr)
	}
}

// TestProbesBoundTimeAndOutput: a server that never responds, or responds without end, does not block a start script.
func TestProbesBoundTimeAndOutput(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 100)
	url := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			w.WriteHeader(http.StatusInternalServerError)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					break
				}
			}
			closed <- struct{}{}
			return
		}
		<-r.Context().Done()
	}))
	start := time.Now()
	code, _, stderr := ask([]string{"wait", "-timeout", "200ms"}, adminEnv(url))
	if code != exitFailure || !strings.Contains(stderr, "gave up after 200ms") || time.Since(start) > brokertest.Timeout/2 {
		t.Errorf("got exit code %d after %v, want %d soon after 200ms: %s", code, time.Since(start), exitFailure, stderr)
	}
	if code, _, stderr := ask([]string{"health"}, adminEnv(url)); code != exitFailure || len(stderr) > 5<<10 {
		t.Errorf("got exit code %d and %d bytes, want %d and at most 5 KiB", code, len(stderr), exitFailure)
	}
	brokertest.Receive(t, "the request ends", closed)
}
