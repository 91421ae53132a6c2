package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// TestNotifyReportsEachStateChange covers the messages in order: not ready and why, ready, not ready again, watchdog,
// stopping.
func TestNotifyReportsEachStateChange(t *testing.T) {
	t.Parallel()
	manager := brokertest.NewSystemd(t).Start()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{Lifetime: 2 * time.Second})
	eTrusted.SetTokenFault(fakeetrusted.Status(http.StatusServiceUnavailable, nil))
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, eTrusted), manager.Variable(), "WATCHDOG_USEC=200000", "BROKER_SHUTDOWN_GRACE=7s"))
	brokertest.Eventually(t, "the status says why it is not ready", func() bool {
		return strings.HasPrefix(manager.Status(), "not ready: the login server answered 503")
	})
	before := manager.Count("WATCHDOG=1")
	brokertest.Eventually(t, "the watchdog is reset without a token", func() bool { return manager.Count("WATCHDOG=1") >= before+5 })
	if n := manager.Count("READY="); n != 0 {
		t.Errorf("got READY=1 before the first token: %q", manager.Messages())
	}

	eTrusted.SetTokenFault(nil)
	brokertest.Eventually(t, "it is ready", func() bool { return manager.Count("READY=1") == 1 })
	if got := manager.Status(); got != "ok: there is a valid token" {
		t.Errorf("status %q", got)
	}

	eTrusted.SetTokenFault(fakeetrusted.EchoSecret(http.StatusUnauthorized))
	brokertest.Eventually(t, "the status says that the token has expired", func() bool {
		return strings.Contains(manager.Status(), "rejected the credentials")
	})
	sent := manager.Count("STATUS=")
	before = manager.Count("WATCHDOG=1")
	brokertest.Eventually(t, "time passes", func() bool { return manager.Count("WATCHDOG=1") >= before+25 })
	if n := manager.Count("STATUS=") - sent; n != 0 {
		t.Errorf("got %d messages with an unchanged status, want 0: %q", n, manager.Messages())
	}

	if n := manager.Count("STOPPING="); n != 0 {
		t.Errorf("got STOPPING=1 before the signal: %q", manager.Messages())
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, p.logs)
	}
	brokertest.Eventually(t, "STOPPING=1 is sent", func() bool { return manager.Count("STOPPING=1") == 1 })
	if manager.Count("EXTEND_TIMEOUT_USEC=12000000") != 1 || manager.Status() != "shutting down: requests in flight have 7s to end" {
		t.Errorf("%q", manager.Messages())
	}
	if n := manager.Count("READY="); n != 1 {
		t.Errorf("got READY=1 %d times, want once", n)
	}
	manager.CheckNoSecret(t, append(eTrusted.Tokens(), fakeetrusted.DefaultClientSecret, fakeetrusted.DefaultClientID)...)
	if p.logs.Lines("sd_notify failed; systemd may restart the broker") != nil {
		t.Errorf("log:\n%s", p.logs)
	}
}

// TestNotifyStaysUpWithRejectedCredentials: the watchdog is reset, and both systemd and the app learn the cause.
func TestNotifyStaysUpWithRejectedCredentials(t *testing.T) {
	t.Parallel()
	manager := brokertest.NewSystemd(t).Start()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{ClientSecret: "another"})
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, eTrusted), manager.Variable(), "WATCHDOG_USEC=100000"))
	brokertest.Eventually(t, "the status names the cause", func() bool {
		return strings.Contains(manager.Status(), "rejected the credentials") && strings.Contains(manager.Status(), "SSO Client Management")
	})
	brokertest.Eventually(t, "the watchdog is reset", func() bool { return manager.Count("WATCHDOG=1") >= 20 })
	if n := manager.Count("READY="); n != 0 {
		t.Errorf("got READY=1: %q", manager.Messages())
	}
	if got := brokertest.Get(t, p.url+"/channels"); got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "SSO Client Management") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	manager.CheckNoSecret(t, fakeetrusted.DefaultClientSecret, fakeetrusted.DefaultClientID)
}

// TestNotifyFailureOnlyWarns: the broker serves, whatever is wrong with systemd's variables.
func TestNotifyFailureOnlyWarns(t *testing.T) {
	const failed = "sd_notify failed; systemd may restart the broker"
	for name, test := range map[string]struct{ socket, watchdog, warning string }{
		"relative path":  {"relative", "20000", failed},
		"no such socket": {"/nowhere/at/all", "20000", failed},
		"no socket":      {"", "20000", ""},
		"watchdog":       {"/nowhere/at/all", "20s", "WATCHDOG_USEC or WATCHDOG_PID is invalid: unset both, or let systemd set them from WatchdogSec="},
	} {
		t.Run(name, func(t *testing.T) { // not parallel: it sets variables of the process
			t.Setenv("NOTIFY_SOCKET", test.socket)
			t.Setenv("WATCHDOG_USEC", test.watchdog)
			eTrusted := fakeetrusted.New(fakeetrusted.Options{})
			b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted)))
			b.WaitReady()
			if got := brokertest.Get(t, b.URL+"/channels"); got.Status != http.StatusOK {
				t.Errorf("%d", got.Status)
			}
			if code := b.Stop(); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if test.warning != "" && len(b.Logs.Lines(test.warning)) != 1 {
				t.Errorf("want one warning %q, got:\n%s", test.warning, b.Logs)
			}
			if test.warning == "" && strings.Contains(b.Logs.String(), `"level":"warn"`) {
				t.Errorf("log:\n%s", b.Logs)
			}
		})
	}
}

// TestNotifyResendsReadyAfterFailure: a lost message does not leave the unit "activating" for ever.
func TestNotifyResendsReadyAfterFailure(t *testing.T) {
	away := brokertest.NewSystemd(t)
	t.Setenv("NOTIFY_SOCKET", away.Path) // so it is not parallel
	_ = away.Conn.Close()
	_ = os.Remove(away.Path)
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))))
	b.WaitReady()
	brokertest.Eventually(t, "a message is lost", func() bool { return strings.Contains(b.Logs.String(), "sd_notify failed") })
	time.Sleep(500 * time.Millisecond) // so that it is READY=1 that was lost, and more than once
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: away.Path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	back := (&brokertest.Systemd{Conn: conn, Path: away.Path}).Start()
	brokertest.Eventually(t, "READY=1 is sent", func() bool { return back.Count("READY=1") == 1 && back.Status() == "ok: there is a valid token" })
}

// TestAbortDumpHasNoSecret: the watchdog's SIGABRT writes the stacks of all goroutines to the journal, without values.
// The exit is not a configuration error, after which systemd would not restart the broker.
func TestAbortDumpHasNoSecret(t *testing.T) {
	t.Parallel()
	const key = "CANARY-access-key-4711"
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetAPIFault(fakeetrusted.Hang())
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_ACCESS_KEY="+key, "GOTRACEBACK=crash"))
	for range 3 {
		go func() {
			request, err := http.NewRequest(http.MethodGet, p.url+"/channels", nil)
			if err == nil {
				request.Header.Set("Authorization", "Bearer "+key)
			}
			_ = brokertest.Do(request, err)
		}()
	}
	brokertest.Eventually(t, "the requests are upstream", func() bool { return eTrusted.APIRequestCount() == 3 })
	p.signal(syscall.SIGABRT)
	if code := p.wait(); code != -1 {
		t.Errorf("exit code %d, want the end by a signal", code)
	}
	dump := p.logs.String()
	if !strings.Contains(dump, "SIGABRT") || !strings.Contains(dump, "(*Proxy).ServeHTTP") {
		t.Errorf("want a dump of the goroutines, got:\n%s", dump)
	}
	for _, secret := range append(eTrusted.Tokens(), key, fakeetrusted.DefaultClientSecret) {
		for _, part := range []string{secret, registerHex(secret)} {
			if strings.Contains(dump, part) {
				t.Errorf("the dump contains %q", part)
			}
		}
	}
}

// registerHex returns how a dump would show the first bytes of text if they were in a register.
func registerHex(text string) string {
	const digits = "0123456789abcdef"
	var word strings.Builder
	for i := 7; i >= 0; i-- { // the lowest byte comes first in memory
		word.WriteByte(digits[text[i]>>4])
		word.WriteByte(digits[text[i]&15])
	}
	return word.String()
}

// TestRestartRefusesNoConnection: with socket activation, systemd keeps the socket open during a restart, and
// connections made meanwhile are served.
func TestRestartRefusesNoConnection(t *testing.T) {
	t.Parallel()
	app := brokertest.Listen(t, "tcp", "127.0.0.1:0")
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	environ := brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_LISTEN=unix:///nowhere/at/all")
	p := startCommand(t, withInheritedSockets(t, "app", []net.Listener{app}, environ...))

	var clients sync.WaitGroup
	enough := make(chan struct{})
	var mu sync.Mutex
	answered := map[int]int{} // number of responses by number of restarts before
	restarts := 0
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
				}
				got := brokertest.Do(http.NewRequest(http.MethodGet, "http://"+app.Addr().String()+"/channels", nil))
				if got.Err != nil || got.Status != http.StatusOK || !strings.Contains(got.Body, "chl-") {
					t.Errorf("%d %s, %v; refused: %v", got.Status, got.Body, got.Err, errors.Is(got.Err, syscall.ECONNREFUSED))
					return
				}
				mu.Lock()
				answered[restarts]++
				mu.Unlock()
			}
		})
	}
	for range 3 {
		waitForResponses(t, &mu, answered, &restarts)
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != exitOK {
			t.Errorf("exit code %d\n%s", code, p.logs)
		}
		mu.Lock()
		restarts++
		mu.Unlock()
		p = startCommand(t, withInheritedSockets(t, "app", []net.Listener{app}, environ...))
	}
	waitForResponses(t, &mu, answered, &restarts)
	close(enough)
	clients.Wait()
}

// waitForResponses returns once the clients have had some responses since the last restart.
func waitForResponses(t *testing.T, mu *sync.Mutex, answered map[int]int, restarts *int) {
	t.Helper()
	brokertest.Eventually(t, "the clients are served", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return answered[*restarts] >= 50 || t.Failed()
	})
}
