package main

import (
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// The broker reports, in order: not ready and why, ready, not ready again, the watchdog, stopping.
func TestNotifyReportsEachStateChange(t *testing.T) {
	t.Parallel()
	manager := brokertest.NewSystemd(t).Start()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{Lifetime: 2 * time.Second})
	eTrusted.SetTokenFault(fakeetrusted.Status(http.StatusServiceUnavailable, nil))
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, eTrusted), manager.Variable(), "WATCHDOG_USEC=40000", "BROKER_SHUTDOWN_GRACE=7s"))
	brokertest.Eventually(t, "the status says why it is not ready", func() bool {
		return strings.HasPrefix(manager.Status(), "not ready: the login server answered 503")
	})
	before := manager.Count("WATCHDOG=1")
	brokertest.Eventually(t, "the broker resets the watchdog without a token", func() bool { return manager.Count("WATCHDOG=1") >= before+5 })
	if n := manager.Count("READY="); n != 0 {
		t.Errorf("got READY=1 before the first token, want it after: %q", manager.Messages())
	}

	eTrusted.SetTokenFault(nil)
	brokertest.Eventually(t, "the broker is ready", func() bool { return manager.Count("READY=1") == 1 })
	if got := manager.Status(); got != "ok: there is a valid token" {
		t.Errorf("got the status %q, want ok", got)
	}

	eTrusted.SetTokenFault(fakeetrusted.OAuthError(http.StatusUnauthorized, "invalid_client"))
	brokertest.Eventually(t, "the status says why there is no token", func() bool {
		return strings.Contains(manager.Status(), "rejected the credentials")
	})
	sent := manager.Count("STATUS=")
	before = manager.Count("WATCHDOG=1")
	brokertest.Eventually(t, "time passes", func() bool { return manager.Count("WATCHDOG=1") >= before+25 })
	if n := manager.Count("STATUS=") - sent; n != 0 {
		t.Errorf("got %d messages with an unchanged status, want 0: %q", n, manager.Messages())
	}

	if n := manager.Count("STOPPING="); n != 0 {
		t.Errorf("got STOPPING=1 before the signal, want it after: %q", manager.Messages())
	}
	p.signal(syscall.SIGTERM)
	if code := p.Wait(); code != exitOK {
		t.Errorf("got exit code %d, want %d:\n%s", code, exitOK, p.Logs)
	}
	brokertest.Eventually(t, "STOPPING=1 is sent", func() bool { return manager.Count("STOPPING=1") == 1 })
	if manager.Count("EXTEND_TIMEOUT_USEC=12000000") != 1 || manager.Status() != "shutting down: requests in flight have 7s to end" {
		t.Errorf("got %q, want an extended timeout and the status of the shutdown", manager.Messages())
	}
	if n := manager.Count("READY="); n != 1 {
		t.Errorf("got READY=1 %d times, want once", n)
	}
	manager.CheckNoSecret(t, append(eTrusted.Tokens(), fakeetrusted.DefaultClientSecret, fakeetrusted.DefaultClientID)...)
	if p.Logs.Lines("sd_notify failed; systemd may restart the broker") != nil {
		t.Errorf("got a failure of sd_notify in the log, want none:\n%s", p.Logs)
	}
}

// With rejected credentials, the broker resets the watchdog, and both systemd and the app learn the cause.
func TestNotifyStaysUpWithRejectedCredentials(t *testing.T) {
	t.Parallel()
	manager := brokertest.NewSystemd(t).Start()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{ClientSecret: "another"})
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, eTrusted), manager.Variable(), "WATCHDOG_USEC=100000"))
	brokertest.Eventually(t, "the status names the cause", func() bool {
		return strings.Contains(manager.Status(), "rejected the credentials") && strings.Contains(manager.Status(), "SSO Client Management")
	})
	brokertest.Eventually(t, "the broker resets the watchdog", func() bool { return manager.Count("WATCHDOG=1") >= 20 })
	// Only the operator can help, who must not wait for systemctl to time out.
	if n := manager.Count("READY=1"); n != 1 {
		t.Errorf("got READY=1 %d times, want once: %q", n, manager.Messages())
	}
	if got := brokertest.Get(t, p.URL+"/channels"); got.Status != http.StatusServiceUnavailable || !strings.Contains(got.Body, "SSO Client Management") {
		t.Errorf("got status %d, want 503 with the cause: %s", got.Status, got.Body)
	}
	manager.CheckNoSecret(t, fakeetrusted.DefaultClientSecret, fakeetrusted.DefaultClientID)
}

// The broker serves, whatever is wrong with systemd's variables.
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
				t.Errorf("got status %d, want 200", got.Status)
			}
			if code := b.Stop(); code != exitOK {
				t.Errorf("got exit code %d, want %d", code, exitOK)
			}
			if test.warning != "" && len(b.Logs.Lines(test.warning)) != 1 {
				t.Errorf("got the log\n%s\nwant one warning %q", b.Logs, test.warning)
			}
			if test.warning == "" && strings.Contains(b.Logs.String(), `"level":"warn"`) {
				t.Errorf("got a warning, want none:\n%s", b.Logs)
			}
		})
	}
}

// A lost message must not leave the unit "activating" forever.
func TestNotifyResendsReadyAfterFailure(t *testing.T) {
	lost := brokertest.NewSystemd(t)
	t.Setenv("NOTIFY_SOCKET", lost.Path) // so the test is not parallel
	_ = lost.Conn.Close()
	_ = os.Remove(lost.Path)
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))))
	b.WaitReady()
	brokertest.Eventually(t, "a message is lost", func() bool { return strings.Contains(b.Logs.String(), "sd_notify failed") })
	time.Sleep(500 * time.Millisecond) // so that READY=1 is lost too, more than once
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: lost.Path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	restored := (&brokertest.Systemd{Conn: conn, Path: lost.Path}).Start()
	brokertest.Eventually(t, "READY=1 is sent", func() bool {
		return restored.Count("READY=1") == 1 && restored.Status() == "ok: there is a valid token"
	})
}

// After the watchdog's SIGABRT, the stacks of all goroutines are in the journal. They must contain no secret, and the exit code
// must not be that of a configuration error, after which systemd would not restart the broker.
func TestAbortDumpHasNoSecret(t *testing.T) {
	t.Parallel()
	const key = "CANARY-access-key-4711"
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetAPIFault(fakeetrusted.Hang())
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_ACCESS_KEY="+key, "GOTRACEBACK=crash"))
	for range 3 {
		go func() {
			request, err := http.NewRequest(http.MethodGet, p.URL+"/channels", nil)
			if err == nil {
				request.Header.Set("Authorization", "Bearer "+key)
			}
			_ = brokertest.Do(request, err)
		}()
	}
	brokertest.Eventually(t, "the requests are upstream", func() bool { return eTrusted.APIRequestCount() == 3 })
	p.signal(syscall.SIGABRT)
	if code := p.Wait(); code != -1 {
		t.Errorf("got exit code %d, want the end by a signal", code)
	}
	dump := p.Logs.String()
	if !strings.Contains(dump, "SIGABRT") || !strings.Contains(dump, "(*Proxy).ServeHTTP") {
		t.Errorf("got\n%s\nwant a dump of the goroutines", dump)
	}
	for _, secret := range append(eTrusted.Tokens(), key, fakeetrusted.DefaultClientSecret) {
		register := []byte(secret[:8]) // a dump shows a word in hex, the last byte in memory first
		slices.Reverse(register)
		for _, part := range []string{secret, hex.EncodeToString(register)} {
			if strings.Contains(dump, part) {
				t.Errorf("got %q in the dump, want no secret", part)
			}
		}
	}
}

// With socket activation, systemd keeps the socket open during a restart, and connections made meanwhile are served.
func TestRestartRefusesNoConnection(t *testing.T) {
	t.Parallel()
	app := brokertest.Listen(t, "tcp", "127.0.0.1:0")
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	environ := brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_LISTEN=unix:///nowhere/at/all")
	p := startCommand(t, withInheritedSockets(t, "app", []net.Listener{app}, environ...))

	var clients sync.WaitGroup
	stop := make(chan struct{})
	var mu sync.Mutex
	responses := map[int]int{} // responses, by how many restarts came before
	restarts := 0
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got := brokertest.Do(http.NewRequest(http.MethodGet, "http://"+app.Addr().String()+"/channels", nil))
				if got.Err != nil || got.Status != http.StatusOK || !strings.Contains(got.Body, "chl-") {
					t.Errorf("got status %d, %v (refused %t), want 200 with channels: %s", got.Status, got.Err, errors.Is(got.Err, syscall.ECONNREFUSED), got.Body)
					return
				}
				mu.Lock()
				responses[restarts]++
				mu.Unlock()
			}
		})
	}
	waitForResponses := func() {
		brokertest.Eventually(t, "the clients are served", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return responses[restarts] >= 50 || t.Failed()
		})
	}
	for range 3 {
		waitForResponses()
		p.signal(syscall.SIGTERM)
		if code := p.Wait(); code != exitOK {
			t.Errorf("got exit code %d, want %d:\n%s", code, exitOK, p.Logs)
		}
		mu.Lock()
		restarts++
		mu.Unlock()
		p = startCommand(t, withInheritedSockets(t, "app", []net.Listener{app}, environ...))
	}
	waitForResponses()
	close(stop)
	clients.Wait()
}
