package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/internal/sdnotify"
)

// fakeSystemd is systemd's end of the notify socket.
type fakeSystemd struct {
	conn *net.UnixConn
	path string

	mu       sync.Mutex
	messages []string
}

// newFakeSystemd opens a notify socket. Call start or read to receive messages.
func newFakeSystemd(t *testing.T) *fakeSystemd {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no datagram Unix sockets on Windows")
	}
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &fakeSystemd{conn: conn, path: path}
}

// start receives messages until the end of the test.
func (s *fakeSystemd) start() *fakeSystemd {
	go func() {
		for s.read() {
			continue
		}
	}()
	return s
}

func (s *fakeSystemd) read() bool {
	message := make([]byte, 8192)
	n, err := s.conn.Read(message)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, string(message[:n]))
	return true
}

func (s *fakeSystemd) environ() string { return "NOTIFY_SOCKET=" + s.path }

// received returns all messages so far.
func (s *fakeSystemd) received() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.messages...)
}

// count returns the number of lines so far with that prefix.
func (s *fakeSystemd) count(prefix string) (n int) {
	for _, message := range s.received() {
		for line := range strings.SplitSeq(message, "\n") {
			if strings.HasPrefix(line, prefix) {
				n++
			}
		}
	}
	return n
}

// status returns the text that `systemctl status` would show now.
func (s *fakeSystemd) status() (text string) {
	for _, message := range s.received() {
		for line := range strings.SplitSeq(message, "\n") {
			if after, ok := strings.CutPrefix(line, "STATUS="); ok {
				text = after
			}
		}
	}
	return text
}

func (s *fakeSystemd) mustNotHave(t *testing.T, canaries ...string) {
	t.Helper()
	said := strings.Join(s.received(), "\n")
	for _, canary := range canaries {
		if strings.Contains(said, canary) {
			t.Errorf("the messages contain %q: %s", canary, said)
		}
	}
}

// TestNotifyReportsWholeLife covers the messages in order: not ready and why, ready, not ready again, watchdog,
// stopping.
func TestNotifyReportsWholeLife(t *testing.T) {
	t.Parallel()
	manager := newFakeSystemd(t).start()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{Lifetime: 2 * time.Second})
	eTrusted.SetTokenFault(fakeetrusted.Status(http.StatusServiceUnavailable, nil))
	p := startProcess(t, environFor(serveHTTP(t, eTrusted), manager.environ(), "WATCHDOG_USEC=200000", "BROKER_SHUTDOWN_GRACE=7s"))
	eventually(t, "the status says why it is not ready", func() bool {
		return strings.HasPrefix(manager.status(), "not ready: the login server answered 503")
	})
	before := manager.count("WATCHDOG=1")
	eventually(t, "the watchdog is reset without a token", func() bool { return manager.count("WATCHDOG=1") >= before+5 })
	if n := manager.count("READY="); n != 0 {
		t.Errorf("got READY=1 before the first token: %q", manager.received())
	}

	eTrusted.SetTokenFault(nil)
	eventually(t, "it is ready", func() bool { return manager.count("READY=1") == 1 })
	if got := manager.status(); got != "ok: there is a valid token" {
		t.Errorf("status %q", got)
	}

	eTrusted.SetTokenFault(fakeetrusted.EchoSecret(http.StatusUnauthorized))
	eventually(t, "the status says that the token has expired", func() bool {
		return strings.Contains(manager.status(), "rejected the credentials")
	})
	sent := manager.count("STATUS=")
	before = manager.count("WATCHDOG=1")
	eventually(t, "time passes", func() bool { return manager.count("WATCHDOG=1") >= before+25 })
	if n := manager.count("STATUS=") - sent; n != 0 {
		t.Errorf("got %d messages with an unchanged status, want 0: %q", n, manager.received())
	}

	if n := manager.count("STOPPING="); n != 0 {
		t.Errorf("got STOPPING=1 before the signal: %q", manager.received())
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, p.logs)
	}
	eventually(t, "STOPPING=1 is sent", func() bool { return manager.count("STOPPING=1") == 1 })
	if manager.count("EXTEND_TIMEOUT_USEC=12000000") != 1 || manager.status() != "shutting down: requests in flight have 7s to end" {
		t.Errorf("%q", manager.received())
	}
	if n := manager.count("READY="); n != 1 {
		t.Errorf("got READY=1 %d times, want once", n)
	}
	manager.mustNotHave(t, append(eTrusted.Tokens(), fakeetrusted.DefaultClientSecret, fakeetrusted.DefaultClientID)...)
	if p.logs.lines("sd_notify failed; systemd may restart the broker") != nil {
		t.Errorf("log:\n%s", p.logs)
	}
}

// TestNotifyStaysUpWithRejectedCredentials: the watchdog is reset, and both systemd and the app learn the cause.
func TestNotifyStaysUpWithRejectedCredentials(t *testing.T) {
	t.Parallel()
	manager := newFakeSystemd(t).start()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{ClientSecret: "another"})
	p := startProcess(t, environFor(serveHTTP(t, eTrusted), manager.environ(), "WATCHDOG_USEC=100000"))
	eventually(t, "the status names the cause", func() bool {
		return strings.Contains(manager.status(), "rejected the credentials") && strings.Contains(manager.status(), "SSO Client Management")
	})
	eventually(t, "the watchdog is reset", func() bool { return manager.count("WATCHDOG=1") >= 20 })
	if n := manager.count("READY="); n != 0 {
		t.Errorf("got READY=1: %q", manager.received())
	}
	if got := get(t, p.url+"/channels"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "SSO Client Management") {
		t.Errorf("%d %s", got.status, got.body)
	}
	manager.mustNotHave(t, fakeetrusted.DefaultClientSecret, fakeetrusted.DefaultClientID)
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
			b := startBroker(t, nil, environFor(serveHTTP(t, eTrusted)))
			b.ready()
			if got := get(t, b.url+"/channels"); got.status != http.StatusOK {
				t.Errorf("%d", got.status)
			}
			if code := b.stop(); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if test.warning != "" && len(b.logs.lines(test.warning)) != 1 {
				t.Errorf("want one warning %q, got:\n%s", test.warning, b.logs)
			}
			if test.warning == "" && strings.Contains(b.logs.String(), `"level":"warn"`) {
				t.Errorf("log:\n%s", b.logs)
			}
		})
	}
}

// TestNotifyResendsReadyAfterFailure: a lost message does not leave the unit "activating" for ever.
func TestNotifyResendsReadyAfterFailure(t *testing.T) {
	away := newFakeSystemd(t)
	t.Setenv("NOTIFY_SOCKET", away.path) // so it is not parallel
	_ = away.conn.Close()
	_ = os.Remove(away.path)
	b := startBroker(t, nil, environFor(serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{}))))
	b.ready()
	eventually(t, "a message is lost", func() bool { return strings.Contains(b.logs.String(), "sd_notify failed") })
	time.Sleep(5 * startPollInterval) // so that it is READY=1 that was lost, and more than once
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: away.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	back := (&fakeSystemd{conn: conn, path: away.path}).start()
	eventually(t, "READY=1 is sent", func() bool { return back.count("READY=1") == 1 && back.status() == "ok: there is a valid token" })
}

// closeHook is a listener that calls onClose before it closes.
type closeHook struct {
	net.Listener
	onClose func()
}

func (a closeHook) Close() error {
	a.onClose()
	return a.Listener.Close()
}

// TestNotifySendsStoppingBeforeListenerCloses: once connections are refused, `systemctl status` shows why.
func TestNotifySendsStoppingBeforeListenerCloses(t *testing.T) {
	manager := newFakeSystemd(t)
	t.Setenv("NOTIFY_SOCKET", manager.path) // so it is not parallel
	b := wiredBroker(t, fakeetrusted.New(fakeetrusted.Options{}))
	announced := make(chan bool, 1)
	once := sync.OnceFunc(func() {
		_ = manager.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) // only what was sent already
		for manager.read() {
			continue
		}
		announced <- manager.count("STOPPING=1") == 1
	})
	app := closeHook{listenFor(t, "tcp", "127.0.0.1:0"), once}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.serveWithSystemd(ctx, listeners{app: app}, newNotifier(t)) }()
	eventually(t, "it serves", func() bool {
		return do(http.NewRequest(http.MethodGet, "http://"+app.Addr().String()+"/channels", nil)).status == http.StatusOK
	})
	cancel()
	if !receive(t, "the listener's end", announced) {
		t.Errorf("the listener closed before STOPPING=1: %q", manager.received())
	}
	if err := receive(t, "the broker's end", ended); err != nil {
		t.Error(err)
	}
}

// TestWatchdogStopsOnceBrokerHangs: WATCHDOG=1 is no longer sent once a lock that requests need is never released.
func TestWatchdogStopsOnceBrokerHangs(t *testing.T) {
	manager := newFakeSystemd(t).start()
	t.Setenv("NOTIFY_SOCKET", manager.path) // so it is not parallel
	t.Setenv("WATCHDOG_USEC", "40000")
	b := wiredBroker(t, fakeetrusted.New(fakeetrusted.Options{}))
	var stuck sync.Mutex
	pages := b.admin.Handler
	b.admin.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/status.json" {
			stuck.Lock()
			defer stuck.Unlock()
		}
		pages.ServeHTTP(w, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	n := newNotifier(t)
	go func() { ended <- b.serveWithSystemd(ctx, listeners{app: listenFor(t, "tcp", "127.0.0.1:0")}, n) }()
	eventually(t, "the watchdog is reset", func() bool { return manager.count("WATCHDOG=1") >= 3 })
	stuck.Lock()
	eventually(t, "the watchdog is not reset", func() bool {
		before := manager.count("WATCHDOG=1")
		time.Sleep(10 * 20 * time.Millisecond) // ten times the interval
		return manager.count("WATCHDOG=1") == before
	})
	cancel()
	if err := receive(t, "the end, which waits for nothing that hangs", ended); err != nil {
		t.Error(err)
	}
	stuck.Unlock()
}

func newNotifier(t *testing.T) *sdnotify.Notifier {
	t.Helper()
	n, err := sdnotify.New()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wiredBroker returns a broker that does not serve yet.
func wiredBroker(t *testing.T, eTrusted http.Handler) *broker {
	t.Helper()
	c, problems := loadConfig(environFor(serveHTTP(t, eTrusted)))
	if problems != nil {
		t.Fatal(problems)
	}
	b, err := newBroker(c, Build{}, zap.NewNop(), newAPITransport(c.UpstreamTimeout), newLoginTransport())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAbortDumpHasNoSecret: the watchdog's SIGABRT writes the stacks of all goroutines to the journal, without values.
// The exit is not a configuration error, after which systemd would not restart the broker.
func TestAbortDumpHasNoSecret(t *testing.T) {
	t.Parallel()
	const key = "CANARY-access-key-4711"
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetAPIFault(fakeetrusted.Hang())
	p := startProcess(t, environFor(serveHTTP(t, eTrusted), "BROKER_ACCESS_KEY="+key, "GOTRACEBACK=crash"))
	for range 3 {
		go func() {
			request, err := http.NewRequest(http.MethodGet, p.url+"/channels", nil)
			if err == nil {
				request.Header.Set("Authorization", "Bearer "+key)
			}
			_ = do(request, err)
		}()
	}
	eventually(t, "the requests are upstream", func() bool { return eTrusted.APIRequestCount() == 3 })
	p.signal(syscall.SIGABRT)
	if code := p.wait(); code != -1 {
		t.Errorf("exit code %d, want the end by a signal", code)
	}
	dump := p.logs.String()
	if !strings.Contains(dump, "SIGABRT") || !strings.Contains(dump, "(*Proxy).ServeHTTP") {
		t.Errorf("want a dump of the goroutines, got:\n%s", dump)
	}
	for _, secret := range append(eTrusted.Tokens(), key, fakeetrusted.DefaultClientSecret) {
		for _, part := range []string{secret, hexWord(secret)} {
			if strings.Contains(dump, part) {
				t.Errorf("the dump contains %q", part)
			}
		}
	}
}

// hexWord returns how a dump would show the first bytes of text if they were in a register.
func hexWord(text string) string {
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
	app := listenFor(t, "tcp", "127.0.0.1:0")
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	environ := environFor(serveHTTP(t, eTrusted), "BROKER_LISTEN=unix:///nowhere/at/all")
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
				got := do(http.NewRequest(http.MethodGet, "http://"+app.Addr().String()+"/channels", nil))
				if got.err != nil || got.status != http.StatusOK || !strings.Contains(got.body, "chl-") {
					t.Errorf("%d %s, %v; refused: %v", got.status, got.body, got.err, errors.Is(got.err, syscall.ECONNREFUSED))
					return
				}
				mu.Lock()
				answered[restarts]++
				mu.Unlock()
			}
		})
	}
	for range 3 {
		serveSome(t, &mu, answered, &restarts)
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != exitOK {
			t.Errorf("exit code %d\n%s", code, p.logs)
		}
		mu.Lock()
		restarts++
		mu.Unlock()
		p = startCommand(t, withInheritedSockets(t, "app", []net.Listener{app}, environ...))
	}
	serveSome(t, &mu, answered, &restarts)
	close(enough)
	clients.Wait()
}

// serveSome returns once the clients have had some responses since the last restart.
func serveSome(t *testing.T, mu *sync.Mutex, answered map[int]int, restarts *int) {
	t.Helper()
	eventually(t, "the clients are served", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return answered[*restarts] >= 50 || t.Failed()
	})
}
