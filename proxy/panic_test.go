package proxy_test

import (
	"net"
	"net/url"
	"sync"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/http1"
)

// panickingTokens is a TokenSource that panics if it is asked for a token.
type panickingTokens struct{ fakeTokens }

func (*panickingTokens) Current() (string, *url.URL, bool) { panic("a bug in the tokens") }

type handlerFunc func(*http1.ResponseWriter, *http1.Request)

func (f handlerFunc) ServeHTTP1(w *http1.ResponseWriter, r *http1.Request) { f(w, r) }

// startRecovering starts a Proxy on a server that expects panics, and returns their reasons.
func startRecovering(t *testing.T, config proxy.Config) (b *broker, reasons chan any) {
	t.Helper()
	b, reasons = &broker{records: make(chan proxy.RequestRecord, 1000)}, make(chan any, 1000)
	config.OnRequestEnd = func(r proxy.RequestRecord) { b.records <- r }
	var err error
	if b.Proxy, err = proxy.New(config); err != nil {
		t.Fatal(err)
	}
	l := brokertest.Listen(t, "tcp", "127.0.0.1:0")
	b.addr = l.Addr().String()
	server := startServer(t, handlerFunc(func(w *http1.ResponseWriter, r *http1.Request) {
		defer func() {
			if reason := recover(); reason != nil {
				reasons <- reason
				w.Abort()
			}
		}()
		b.ServeHTTP1(w, r)
	}), l, testTimeout)
	t.Cleanup(server.Close)
	return b, reasons
}

// sendUpload sends the beginning of an upload over a new connection.
func (b *broker) sendUpload(t *testing.T) {
	t.Helper()
	b.dial(t).send("POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
}

func TestRecordsRequestOnceIfItPanics(t *testing.T) {
	panicking := roundTripperFunc(func(*http1.ClientRequest) (*http1.ClientResponse, error) { panic("a bug in the client") })
	for want, change := range map[string]func(*proxy.Config){
		"a bug in the client": func(*proxy.Config) {},
		"a bug in the tokens": func(c *proxy.Config) { c.Tokens = accounts{"": &panickingTokens{}}.tokens },
	} {
		config := newConfig(t, "http://api.example")
		config.UpstreamClient = panicking
		change(&config)
		b, reasons := startRecovering(t, config)
		b.sendUpload(t)
		if got := brokertest.Receive(t, "the panic", reasons); got != want {
			t.Errorf("got the panic %v, want %q", got, want)
		}
		if got := b.record(t); got.Path != "/x" || got.Account != proxy.DefaultAccount || got.Duration <= 0 {
			t.Errorf("%s: got %+v, want the request", want, got)
		}
		if n := len(b.records); n != 0 {
			t.Errorf("%s: got %d more records, want none", want, n)
		}
		if n := b.InFlight(); n != 0 {
			t.Errorf("%s: got %d requests in flight, want 0", want, n)
		}
	}
}

// After a panic, a goroutine that sends the body may still read from the exchange.
func TestDoesNotReuseExchangeThatPanicked(t *testing.T) {
	const count = 30 // the pool keeps some for each processor
	var mu sync.Mutex
	abandoned := map[*http1.ClientRequest]bool{} // they are parts of their exchanges
	config := newConfig(t, "http://api.example")
	config.UpstreamClient = roundTripperFunc(func(r *http1.ClientRequest) (*http1.ClientResponse, error) {
		mu.Lock()
		defer mu.Unlock()
		if abandoned[r] {
			t.Error("got the exchange of a request that panicked, want another")
		}
		if abandoned[r] = len(abandoned) < count; abandoned[r] {
			panic("a bug")
		}
		return nil, net.ErrClosed
	})
	b, _ := startRecovering(t, config)
	for range 2 * count {
		b.sendUpload(t)
		b.record(t)
	}
}
