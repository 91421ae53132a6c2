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

// systemd is the end of the notify socket that systemd has.
type systemd struct {
	conn *net.UnixConn
	path string

	mu   sync.Mutex
	said []string
}

// listenAsSystemd opens a notify socket. Who reads from it is up to the test.
func listenAsSystemd(t *testing.T) *systemd {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there are no sockets of that kind there")
	}
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &systemd{conn: conn, path: path}
}

// listening reads until the test's end.
func (s *systemd) listening() *systemd {
	go func() {
		for s.read() {
			continue
		}
	}()
	return s
}

func (s *systemd) read() bool {
	message := make([]byte, 8192)
	n, err := s.conn.Read(message)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, string(message[:n]))
	return true
}

func (s *systemd) environ() string { return "NOTIFY_SOCKET=" + s.path }

// all is each message so far.
func (s *systemd) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.said...)
}

// count is how many messages so far have such a line.
func (s *systemd) count(prefix string) (n int) {
	for _, message := range s.all() {
		for line := range strings.SplitSeq(message, "\n") {
			if strings.HasPrefix(line, prefix) {
				n++
			}
		}
	}
	return n
}

// status is the text that `systemctl status` would show now.
func (s *systemd) status() (text string) {
	for _, message := range s.all() {
		for line := range strings.SplitSeq(message, "\n") {
			if after, ok := strings.CutPrefix(line, "STATUS="); ok {
				text = after
			}
		}
	}
	return text
}

func (s *systemd) mustNotHave(t *testing.T, canaries ...string) {
	t.Helper()
	said := strings.Join(s.all(), "\n")
	for _, canary := range canaries {
		if strings.Contains(said, canary) {
			t.Errorf("%q was told: %s", canary, said)
		}
	}
}

// TestNotify holds what systemd is told over a whole life: why there is no token yet, that there is one, that there is none
// again, that nothing hangs, and the end.
func TestNotify(t *testing.T) {
	t.Parallel()
	manager := listenAsSystemd(t).listening()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{Lifetime: 2 * time.Second})
	eTrusted.SetTokenFault(fakeetrusted.Status(http.StatusServiceUnavailable, nil))
	p := startProcess(t, environFor(serveHTTP(t, eTrusted), manager.environ(), "WATCHDOG_USEC=200000", "BROKER_SHUTDOWN_GRACE=7s"))
	eventually(t, "it is told what is waited for", func() bool {
		return strings.HasPrefix(manager.status(), "not ready: the login server answered 503")
	})
	before := manager.count("WATCHDOG=1")
	eventually(t, "it lives, without a token", func() bool { return manager.count("WATCHDOG=1") >= before+5 })
	if n := manager.count("READY="); n != 0 {
		t.Errorf("ready before the first token: %q", manager.all())
	}

	eTrusted.SetTokenFault(nil)
	eventually(t, "it is ready", func() bool { return manager.count("READY=1") == 1 })
	if got := manager.status(); got != "ok: there is a valid token" {
		t.Errorf("status %q", got)
	}

	eTrusted.SetTokenFault(fakeetrusted.EchoSecret(http.StatusUnauthorized))
	eventually(t, "it is told that the token has ended", func() bool {
		return strings.Contains(manager.status(), "rejected the credentials")
	})
	told := manager.count("STATUS=")
	before = manager.count("WATCHDOG=1")
	eventually(t, "time passes", func() bool { return manager.count("WATCHDOG=1") >= before+25 })
	if n := manager.count("STATUS=") - told; n != 0 {
		t.Errorf("told %d times again of what has not changed: %q", n, manager.all())
	}

	if n := manager.count("STOPPING="); n != 0 {
		t.Errorf("stopping before its time: %q", manager.all())
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, p.logs)
	}
	eventually(t, "it is told of the end", func() bool { return manager.count("STOPPING=1") == 1 })
	if manager.count("EXTEND_TIMEOUT_USEC=12000000") != 1 || manager.status() != "shutting down: requests in flight have 7s to end" {
		t.Errorf("%q", manager.all())
	}
	if n := manager.count("READY="); n != 1 {
		t.Errorf("ready %d times", n)
	}
	manager.mustNotHave(t, append(eTrusted.Tokens(), fakeetrusted.DefaultClientSecret, fakeetrusted.DefaultClientID)...)
	if p.logs.lines("systemd cannot be told how the broker fares, and may restart it") != nil {
		t.Errorf("log:\n%s", p.logs)
	}
}

// TestNotReadyWithRejectedCredentials holds that it lives on all the same, and that the app hears what is wrong.
func TestNotReadyWithRejectedCredentials(t *testing.T) {
	t.Parallel()
	manager := listenAsSystemd(t).listening()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{ClientSecret: "another"})
	p := startProcess(t, environFor(serveHTTP(t, eTrusted), manager.environ(), "WATCHDOG_USEC=100000"))
	eventually(t, "it is told what is wrong", func() bool {
		return strings.Contains(manager.status(), "rejected the credentials") && strings.Contains(manager.status(), "SSO Client Management")
	})
	eventually(t, "it lives on", func() bool { return manager.count("WATCHDOG=1") >= 20 })
	if n := manager.count("READY="); n != 0 {
		t.Errorf("ready: %q", manager.all())
	}
	if got := get(t, p.url+"/channels"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "SSO Client Management") {
		t.Errorf("%d %s", got.status, got.body)
	}
	manager.mustNotHave(t, fakeetrusted.DefaultClientSecret, fakeetrusted.DefaultClientID)
}

// TestNotifyNobody holds that whatever is wrong with systemd's variables costs a warning and no more.
func TestNotifyNobody(t *testing.T) {
	t.Parallel()
	const cannot = "systemd cannot be told how the broker fares, and may restart it"
	for name, test := range map[string]struct{ variable, warning string }{
		"wrong":            {"NOTIFY_SOCKET=relative", "NOTIFY_SOCKET must be an absolute path, or @ and a name, of no more than 107 bytes: unset it, or let systemd set it for Type=notify"},
		"nobody is there":  {"NOTIFY_SOCKET=/nowhere/at/all", cannot},
		"there is nothing": {"NOTIFY_SOCKET=", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eTrusted := fakeetrusted.New(fakeetrusted.Options{})
			b := startBroker(t, nil, environFor(serveHTTP(t, eTrusted), test.variable, "WATCHDOG_USEC=20000"))
			b.ready()
			if got := get(t, b.url+"/channels"); got.status != http.StatusOK {
				t.Errorf("%d", got.status)
			}
			if code := b.stop(); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if test.warning != "" && len(b.logs.lines(test.warning)) != 1 {
				t.Errorf("not warned once of %q:\n%s", test.warning, b.logs)
			}
			if test.warning == "" && strings.Contains(b.logs.String(), `"level":"warn"`) {
				t.Errorf("log:\n%s", b.logs)
			}
		})
	}
}

// TestReadyIsToldAgainUntilItGetsThrough holds that a message that was lost does not leave the unit "activating" for ever.
func TestReadyIsToldAgainUntilItGetsThrough(t *testing.T) {
	t.Parallel()
	away := listenAsSystemd(t)
	_ = away.conn.Close()
	_ = os.Remove(away.path)
	b := startBroker(t, nil, environFor(serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{})), away.environ()))
	b.ready()
	eventually(t, "a message is lost", func() bool { return strings.Contains(b.logs.String(), "systemd cannot be told") })
	time.Sleep(5 * startPause) // so that it is READY=1 that was lost, and more than once
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: away.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	back := (&systemd{conn: conn, path: away.path}).listening()
	eventually(t, "it is told", func() bool { return back.count("READY=1") == 1 && back.status() == "ok: there is a valid token" })
}

// atClose is a listener that tells of its end before it comes.
type atClose struct {
	net.Listener
	closing func()
}

func (a atClose) Close() error {
	a.closing()
	return a.Listener.Close()
}

// TestStoppingIsToldBeforeTheListenerCloses holds the order: who is refused a connection can be told why by systemd.
func TestStoppingIsToldBeforeTheListenerCloses(t *testing.T) {
	t.Parallel()
	manager := listenAsSystemd(t)
	b := wiredBroker(t, fakeetrusted.New(fakeetrusted.Options{}))
	told := make(chan bool, 1)
	once := sync.OnceFunc(func() {
		_ = manager.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) // what is there already, and no more
		for manager.read() {
			continue
		}
		told <- manager.count("STOPPING=1") == 1
	})
	app := atClose{listenFor(t, "tcp", "127.0.0.1:0"), once}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.serveAndTell(ctx, listeners{app: app}, notifierFor(t, manager)) }()
	eventually(t, "it serves", func() bool {
		return do(http.NewRequest(http.MethodGet, "http://"+app.Addr().String()+"/channels", nil)).status == http.StatusOK
	})
	cancel()
	if !receive(t, "the listener's end", told) {
		t.Errorf("the listener was closed before: %q", manager.all())
	}
	if err := receive(t, "the broker's end", ended); err != nil {
		t.Error(err)
	}
}

// TestNoBeatOnceSomethingHangs holds that the sign of life means something: a lock that is never given back ends it.
func TestNoBeatOnceSomethingHangs(t *testing.T) {
	t.Parallel()
	manager := listenAsSystemd(t).listening()
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
	n, err := sdnotify.New([]string{manager.environ(), "WATCHDOG_USEC=40000"}, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- b.serveAndTell(ctx, listeners{app: listenFor(t, "tcp", "127.0.0.1:0")}, n) }()
	eventually(t, "it lives", func() bool { return manager.count("WATCHDOG=1") >= 3 })
	stuck.Lock()
	eventually(t, "it hangs", func() bool {
		before := manager.count("WATCHDOG=1")
		time.Sleep(10 * 20 * time.Millisecond) // ten times as long as between two beats
		return manager.count("WATCHDOG=1") == before
	})
	cancel()
	if err := receive(t, "the end, which waits for nothing that hangs", ended); err != nil {
		t.Error(err)
	}
	stuck.Unlock()
}

func notifierFor(t *testing.T, manager *systemd) *sdnotify.Notifier {
	t.Helper()
	n, err := sdnotify.New([]string{manager.environ()}, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wiredBroker is a broker that nobody serves yet.
func wiredBroker(t *testing.T, eTrusted http.Handler) *broker {
	t.Helper()
	c, problems := loadConfig(environFor(serveHTTP(t, eTrusted)))
	if problems != nil {
		t.Fatal(problems)
	}
	b, err := newBroker(c, zap.NewNop(), newAPITransport(c.UpstreamTimeout), newLoginTransport())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAbortTellsNoSecret holds what the watchdog's SIGABRT leaves in the journal: where each goroutine is, and nothing of
// what it holds. And that its end is no configuration error, after which systemd would not start the broker again.
func TestAbortTellsNoSecret(t *testing.T) {
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
		t.Errorf("that is no dump of the goroutines:\n%s", dump)
	}
	for _, secret := range append(eTrusted.Tokens(), key, fakeetrusted.DefaultClientSecret) {
		for _, part := range []string{secret, hexWord(secret)} {
			if strings.Contains(dump, part) {
				t.Errorf("%q is in it", part)
			}
		}
	}
}

// hexWord is how a dump would show the first bytes of a text that lay in a register.
func hexWord(text string) string {
	const digits = "0123456789abcdef"
	var word strings.Builder
	for i := 7; i >= 0; i-- { // the lowest byte comes first in memory
		word.WriteByte(digits[text[i]>>4])
		word.WriteByte(digits[text[i]&15])
	}
	return word.String()
}

// TestRestartRefusesNoConnection holds what socket activation is for: systemd keeps the socket open while one broker ends and
// the next begins, and each connection that comes meanwhile is answered.
func TestRestartRefusesNoConnection(t *testing.T) {
	t.Parallel()
	app := listenFor(t, "tcp", "127.0.0.1:0")
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	environ := environFor(serveHTTP(t, eTrusted), "BROKER_LISTEN=unix:///nowhere/at/all")
	p := startCommand(t, handedOver(t, "app", []net.Listener{app}, environ...))

	var clients sync.WaitGroup
	enough := make(chan struct{})
	var mu sync.Mutex
	answered := map[int]int{} // how many, by how often it was restarted before
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
		p = startCommand(t, handedOver(t, "app", []net.Listener{app}, environ...))
	}
	serveSome(t, &mu, answered, &restarts)
	close(enough)
	clients.Wait()
}

// serveSome returns once the clients were answered a few times since the last restart.
func serveSome(t *testing.T, mu *sync.Mutex, answered map[int]int, restarts *int) {
	t.Helper()
	eventually(t, "the clients are served", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return answered[*restarts] >= 50 || t.Failed()
	})
}
