package main

import (
	"context"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/internal/sdnotify"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
)

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

func newNotifier(t *testing.T) *sdnotify.Notifier {
	t.Helper()
	n, err := sdnotify.New()
	if err != nil {
		t.Fatal(err)
	}
	return n
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
