package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

func adminEnv(url string) string { return "BROKER_ADMIN_LISTEN=" + strings.TrimPrefix(url, "http://") }

// ask runs a command that asks a broker, with nothing in the environment but where it is.
func ask(args []string, environ ...string) (code int, stdout, stderr string) {
	var out, err brokertest.LogBuffer
	ctx, cancel := context.WithTimeout(context.Background(), brokertest.Timeout)
	defer cancel()
	code = run(ctx, args, environ, &out, &err)
	return code, out.String(), err.String()
}

// adminAddressInState returns where the admin listener of a broker is that is in such a state.
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
	const nobody = "127.0.0.1:1"
	tests := []struct {
		name  string
		args  []string
		admin string // a state, or what BROKER_ADMIN_LISTEN is
		code  int
		says  []string // on stderr; none: nothing is said
	}{
		{"health", []string{"health"}, "ready", exitOK, nil},
		{"health while starting", []string{"health"}, "starting", exitOK, nil},
		{"health while rejected", []string{"health"}, "rejected", exitOK, nil},
		{"health of nobody", []string{"health"}, nobody, exitFailure,
			[]string{"broker health: ", "the broker's admin listener on " + nobody + " refused the connection: is it running?"}},
		{"wait", []string{"wait"}, "ready", exitOK, nil},
		{"wait while starting", []string{"wait", "-timeout", "2s"}, "starting", exitFailure,
			[]string{"broker wait: gave up after 2s: not ready: the first token is being fetched"}},
		{"wait while rejected", []string{"wait", "-timeout=2s"}, "rejected", exitFailure,
			[]string{"gave up after 2s: not ready: ", "rejected the credentials", "SSO Client Management"}},
		{"wait for nobody", []string{"wait", "-timeout", "2s"}, nobody, exitFailure,
			[]string{"gave up after 2s: ", "the broker's admin listener on " + nobody + " refused the connection: is it running?"}},
		{"health, admin off", []string{"health"}, "", exitConfig, []string{"broker health: BROKER_ADMIN_LISTEN is empty"}},
		{"wait, admin off", []string{"wait"}, "", exitConfig, []string{"broker wait: BROKER_ADMIN_LISTEN is empty"}},
		{"health, no address", []string{"health"}, "9464", exitConfig, []string{"broker health: BROKER_ADMIN_LISTEN: must be HOST:PORT"}},
		{"wait, no address", []string{"wait"}, "9464", exitConfig, []string{"broker wait: BROKER_ADMIN_LISTEN: must be HOST:PORT"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// What else is wrong in the environment is not these commands' business.
			code, stdout, stderr := ask(test.args, "BROKER_ADMIN_LISTEN="+adminAddressInState(t, test.admin), "BROKER_TOKEN_WAIT=soon", "ETRUSTED_API_URL=nonsense")
			if code != test.code || stdout != "" {
				t.Errorf("exit code %d, want %d; stdout %q", code, test.code, stdout)
			}
			if test.says == nil && stderr != "" {
				t.Errorf("says %q", stderr)
			}
			for _, part := range test.says {
				if !strings.Contains(stderr, part) {
					t.Errorf("does not say %q: %q", part, stderr)
				}
			}
			if strings.Count(stderr, "\n") > 1 {
				t.Errorf("more than one line: %q", stderr)
			}
		})
	}
}

// TestProbesUseLoopbackForWildcardAddress holds that the addresses that are none to connect to are asked on loopback.
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
				t.Errorf("%s %s: exit code %d: %s", command, address, code, stderr)
			}
		}
	}
}

func TestAdminAddress(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{
		"0.0.0.0:9":      "127.0.0.1:9",
		":9":             "127.0.0.1:9",
		"[::]:9":         "127.0.0.1:9",
		"[::1]:9":        "[::1]:9",
		"10.0.0.1:9":     "10.0.0.1:9",
		"broker.local:9": "broker.local:9",
	} {
		i := cli{environ: []string{"BROKER_ADMIN_LISTEN=" + set}, stderr: &brokertest.LogBuffer{}}
		if got, ok := i.adminAddress("health"); !ok || got != want {
			t.Errorf("%s: %s, %v, want %s", set, got, ok, want)
		}
	}
	i := cli{stderr: &brokertest.LogBuffer{}}
	if got, ok := i.adminAddress("health"); !ok || got != "127.0.0.1:9464" {
		t.Errorf("unset: %s, %v", got, ok)
	}
}

// TestWaitPollsUntilReady holds that wait goes on asking until the answer is yes.
func TestWaitPollsUntilReady(t *testing.T) {
	t.Parallel()
	var questions atomic.Int64
	url := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || questions.Add(1) < 3 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	if code, _, stderr := ask([]string{"wait", "-timeout", brokertest.Timeout.String()}, adminEnv(url)); code != exitOK || questions.Load() != 3 {
		t.Errorf("exit code %d after %d questions: %s", code, questions.Load(), stderr)
	}
}

// TestWaitReportsLastResponse holds that the reason is not lost when the time-out breaks a question off.
func TestWaitReportsLastResponse(t *testing.T) {
	t.Parallel()
	var questions atomic.Int64
	url := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if questions.Add(1) > 1 {
			<-r.Context().Done()
		}
		http.Error(w, "not ready: the reason", http.StatusServiceUnavailable)
	}))
	code, _, stderr := ask([]string{"wait", "-timeout", "2s"}, adminEnv(url))
	if code != exitFailure || stderr != "broker wait: gave up after 2s: not ready: the reason\n" {
		t.Errorf("exit code %d after %d questions: %s", code, questions.Load(), stderr)
	}
}

// TestProbesBoundTimeAndOutput holds that a start script is not held up by something that listens and says nothing, nor by what
// answers without end.
func TestProbesBoundTimeAndOutput(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 100)
	url := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			w.WriteHeader(http.StatusInternalServerError)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					break
				}
			}
			gone <- struct{}{}
			return
		}
		<-r.Context().Done()
	}))
	began := time.Now()
	code, _, stderr := ask([]string{"wait", "-timeout", "200ms"}, adminEnv(url))
	if code != exitFailure || !strings.Contains(stderr, "gave up after 200ms") || time.Since(began) > brokertest.Timeout/2 {
		t.Errorf("exit code %d after %v: %s", code, time.Since(began), stderr)
	}
	if code, _, stderr := ask([]string{"health"}, adminEnv(url)); code != exitFailure || len(stderr) > 5<<10 {
		t.Errorf("exit code %d and %d bytes", code, len(stderr))
	}
	brokertest.Receive(t, "the question ends", gone)
}
