package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/dialer"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/http2"
)

// Clients that request a long response and do not read it cost what their buffers hold, not what they requested. The bounds
// are an eighth above today's cost, which includes the share of the API and the attackers. The test is not parallel, so that
// the heap is its own.
func TestMemoryOfStalledReadersIsBounded(t *testing.T) {
	if brokertest.RaceDetector {
		t.Skip("the race detector allocates")
	}
	const readers = 200
	for _, test := range []struct {
		path string
		max  int64 // bytes per reader
	}{
		{"/long", 44 << 10},
		{"/json", 76 << 10},
		{"/gzip", 126 << 10},
	} {
		t.Run(test.path[1:], func(t *testing.T) {
			var sent atomic.Int64
			api := httptest.NewUnstartedServer(longContentAPI(t, &sent))
			api.Listener = smallBufferListener{api.Listener}
			api.Start()
			t.Cleanup(api.Close)
			c := loadConfig(t, brokertest.Environ(api.URL))
			toAPI := newAPIClient(c.API, c, currentLimits(c).idle, new(dialer.AddressFilteringTCPDialer))
			address, inFlight := serveWithSmallBuffers(t, api.URL, toAPI, connectionLimits{app: 2 * readers, admin: 4})

			before := heapInUse()
			for range readers {
				startStalledReader(t, address, test.path)
			}
			brokertest.Eventually(t, "all readers are served", func() bool { return inFlight() == readers })
			waitUntilSilent(&sent)
			perReader := (heapInUse() - before) / readers
			t.Logf("%d KiB per reader", perReader>>10)
			if perReader > test.max {
				t.Errorf("got %d bytes per reader, want at most %d", perReader, test.max)
			}
			if got := brokertest.Get(t, "http://"+address+"/x"); got.Status != http.StatusOK {
				t.Errorf("the app: got status %d, want 200", got.Status)
			}
		})
	}
}

// For each response that an app does not read, an HTTP/2 API can send only a bounded part.
func TestMemoryOfStalledHTTP2ReaderIsBounded(t *testing.T) {
	const maxSent = 512 << 10
	var sent atomic.Int64
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("got a request in %s, want HTTP/2", r.Proto)
		}
		for r.URL.Path == "/long" {
			n, err := w.Write(tenKilobytes)
			if err != nil {
				return
			}
			sent.Add(int64(n))
		}
	}))
	api.EnableHTTP2 = true
	api.StartTLS()
	t.Cleanup(api.Close)
	transport := newHTTP2Transport(new(dialer.AddressFilteringTCPDialer), 0)
	transport.TLSClientConfig.RootCAs = api.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	t.Cleanup(transport.CloseIdleConnections)
	address, _ := serveWithSmallBuffers(t, api.URL, http2.New(parseURL(t, api.URL), transport, time.Minute), connectionLimits{app: 4, admin: 4})
	startStalledReader(t, address, "/long")
	waitUntilSilent(&sent)
	if got := sent.Load(); got > maxSent {
		t.Errorf("the API sent %d bytes, want at most %d", got, maxSent)
	}
	if got := brokertest.Get(t, "http://"+address+"/x"); got.Status != http.StatusOK {
		t.Errorf("the app: got status %d, want 200", got.Status)
	}
}

// waitUntilSilent returns once the API sends nothing more, because all readers have stalled.
func waitUntilSilent(sent *atomic.Int64) {
	for before := int64(-1); sent.Load() != before; time.Sleep(300 * time.Millisecond) {
		before = sent.Load()
	}
}

// longContentAPI is an API with long responses: text, JSON, and JSON in gzip. It counts the bytes that it sends.
func longContentAPI(t *testing.T, sent *atomic.Int64) http.Handler {
	array := bytes.Repeat([]byte(`{"id":1},`), 10_000)
	var compressed bytes.Buffer
	compressor := gzip.NewWriter(&compressed)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		if _, err := fmt.Fprintf(compressor, `{"id":%d},`, random.Uint64()); err != nil {
			t.Fatal(err)
		}
	}
	if err := compressor.Close(); err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part, kind, coding := tenKilobytes, "text/plain", ""
		switch r.URL.Path {
		case "/x":
			return
		case "/json":
			part, kind = array, "application/json"
		case "/gzip":
			part, kind, coding = compressed.Bytes(), "application/json", "gzip" // members can be concatenated
		}
		w.Header().Set("Content-Type", kind)
		if coding != "" {
			w.Header().Set("Content-Encoding", coding)
		}
		for range 1000 {
			n, err := w.Write(part)
			if err != nil {
				return
			}
			sent.Add(int64(n))
		}
	})
}

// serveWithSmallBuffers runs a broker, with a token, whose clients can stall after few bytes.
func serveWithSmallBuffers(t *testing.T, api string, toAPI proxy.RoundTripper, maxConns connectionLimits) (address string, inFlight func() int64) {
	t.Helper()
	c := loadConfig(t, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "ETRUSTED_API_URL="+api, "BROKER_SHUTDOWN_GRACE=0s", "BROKER_REPLAY_401=false"))
	b := newIdleBroker(t, c, toAPI)
	b.limits = maxConns
	listener := brokertest.Listen(t, "tcp", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.serve(ctx, Listeners{App: []net.Listener{smallBufferListener{listener}}}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	brokertest.Get(t, "http://"+listener.Addr().String()+"/x") // waits for the token
	return listener.Addr().String(), b.proxy.InFlight
}

// startStalledReader requests a path, and reads only the beginning of the response.
func startStalledReader(t *testing.T, address, path string) {
	t.Helper()
	c := brokertest.DialRaw(t, address)
	c.Send(brokertest.PlainRequest("GET " + path))
	if _, err := io.ReadFull(c.Conn, make([]byte, len("HTTP/1.1 200"))); err != nil {
		t.Fatal(err)
	}
}

// smallBufferListener limits the send buffers of connections. By default, the system takes megabytes for each.
type smallBufferListener struct{ net.Listener }

func (l smallBufferListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(32 << 10)
	}
	return conn, err
}

// heapInUse returns the size of the live heap.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // pools keep their content for one cycle
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
