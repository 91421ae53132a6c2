package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/internal/sdnotify"
	"etrusted-broker/proxy"
)

// Once the broker refuses connections, `systemctl status` must show why.
func TestNotifySendsStoppingBeforeListenerCloses(t *testing.T) {
	manager := brokertest.NewSystemd(t)
	t.Setenv("NOTIFY_SOCKET", manager.Path) // so the test is not parallel
	c := loadConfig(t, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))))
	b := newIdleBroker(t, c, newAPIClient(c.API, c, currentLimits(c).idle, new(dialer.AddressFilteringTCPDialer)))
	announced := make(chan bool, 1)
	once := sync.OnceFunc(func() {
		_ = manager.Conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // what was sent already: reading it may take time on a busy machine
		for manager.Read() {
			continue
		}
		announced <- manager.Count("STOPPING=1") == 1
	})
	app := closeHook{brokertest.Listen(t, "tcp", "127.0.0.1:0"), once}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.serveWithSystemd(ctx, Listeners{App: []net.Listener{app}}, newNotifier(t)) }()
	brokertest.Eventually(t, "the broker serves", func() bool {
		return brokertest.Do(http.NewRequest(http.MethodGet, "http://"+app.Addr().String()+"/channels", nil)).Status == http.StatusOK
	})
	cancel()
	if !brokertest.Receive(t, "the closing of the listener", announced) {
		t.Errorf("got %q before the listener closed, want STOPPING=1", manager.Messages())
	}
	if err := brokertest.Receive(t, "the result of serve", ended); err != nil {
		t.Error(err)
	}
}

// The broker no longer sends WATCHDOG=1 once a lock that requests need is never released.
func TestWatchdogStopsOnceBrokerHangs(t *testing.T) {
	manager := brokertest.NewSystemd(t).Start()
	t.Setenv("NOTIFY_SOCKET", manager.Path) // so the test is not parallel
	t.Setenv("WATCHDOG_USEC", "40000")
	c := loadConfig(t, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))))
	b := newIdleBroker(t, c, newAPIClient(c.API, c, currentLimits(c).idle, new(dialer.AddressFilteringTCPDialer)))
	var lock sync.Mutex
	pages := b.admin.Handler
	b.admin.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/status.json" {
			lock.Lock()
			defer lock.Unlock()
		}
		pages.ServeHTTP(w, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	n := newNotifier(t)
	go func() {
		ended <- b.serveWithSystemd(ctx, Listeners{App: []net.Listener{brokertest.Listen(t, "tcp", "127.0.0.1:0")}}, n)
	}()
	brokertest.Eventually(t, "the broker resets the watchdog", func() bool { return manager.Count("WATCHDOG=1") >= 3 })
	lock.Lock()
	brokertest.Eventually(t, "the broker no longer resets the watchdog", func() bool {
		before := manager.Count("WATCHDOG=1")
		time.Sleep(10 * 20 * time.Millisecond) // ten times the interval
		return manager.Count("WATCHDOG=1") == before
	})
	cancel()
	if err := brokertest.Receive(t, "the result of serve, which must not wait for the lock", ended); err != nil {
		t.Error(err)
	}
	lock.Unlock()
}

// newIdleBroker returns a broker that does not serve yet. toAPI sends its requests to the API.
func newIdleBroker(t *testing.T, c config.Config, toAPI proxy.RoundTripper) *broker {
	t.Helper()
	toLogin := NewLoginTransport(new(dialer.AddressFilteringTCPDialer))
	t.Cleanup(toLogin.CloseIdleConnections)
	b, err := newBroker(c, Build{}, zap.NewNop(), toAPI, toLogin)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loadConfig returns the configuration that an environment contains.
func loadConfig(t *testing.T, environ []string) config.Config {
	t.Helper()
	c, problems := config.Load(environ)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return c
}

// newNotifier returns a notifier that the environment configures.
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

func (h closeHook) Close() error {
	h.onClose()
	return h.Listener.Close()
}
