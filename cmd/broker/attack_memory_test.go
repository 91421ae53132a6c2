package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// 200 clients that ask for ten megabytes each and do not read them cost what their buffers hold, not what they asked for.
// It runs by itself, so that the heap is this test's alone; the API's and the attackers' share is in it.
func TestStalledReadersInLittleMemory(t *testing.T) {
	const readers, most = 200, 40 << 20
	api := httptest.NewUnstartedServer(long)
	api.Listener = narrow{api.Listener}
	api.Start()
	t.Cleanup(api.Close)
	toAPI, toLogin := newAPITransport(time.Minute), newLoginTransport()
	b := bare(t, api.URL, serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{})), toAPI, toLogin)
	b.limits = limits{app: 2 * readers, admin: 4}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.serve(ctx, narrow{listener}, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		toAPI.CloseIdleConnections()
		toLogin.CloseIdleConnections()
	})
	app := "http://" + listener.Addr().String()
	get(t, app+"/x") // waits for the token

	before := heapInUse()
	for range readers {
		c := attackerAt(t, listener.Addr().String())
		c.send(plain("GET /long"))
		if _, err := io.ReadFull(c.Conn, make([]byte, len("HTTP/1.1 200"))); err != nil { // the answer has begun
			t.Fatal(err)
		}
	}
	eventually(t, "all have stalled", func() bool { return b.proxy.InFlight() == readers })
	grown := heapInUse() - before
	t.Logf("%d readers take %d kB", readers, grown>>10)
	if grown > most {
		t.Error("that is more than their buffers")
	}
	if got := get(t, app+"/x"); got.status != http.StatusOK {
		t.Errorf("the app meanwhile: %d", got.status)
	}
}

// narrow keeps the system from taking megabytes off our hands for each connection.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(32 << 10)
	}
	return conn, err
}

func heapInUse() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
