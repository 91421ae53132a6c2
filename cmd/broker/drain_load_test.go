package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// halfBody is what a response has sent of its body when the drain begins, and again what comes after. It is more than any
// buffer on its way.
var halfBody = strings.Repeat("0123456789abcdef", 16<<10)

// pausingAPI is an API with 20 requests in flight: those to /header wait before they answer, those to /body in the middle
// of what they answer, those to /upload in the middle of what they read. All go on when gate is closed.
func pausingAPI(arrived chan<- string, gate <-chan struct{}, tokens http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/header":
			arrived <- r.URL.Path
			<-gate
			_, _ = io.WriteString(w, halfBody+halfBody)
		case "/body":
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = io.WriteString(w, halfBody)
			_ = http.NewResponseController(w).Flush()
			arrived <- r.URL.Path
			<-gate
			_, _ = io.WriteString(w, halfBody)
		case "/upload":
			first := make([]byte, len(halfBody))
			_, _ = io.ReadFull(r.Body, first)
			arrived <- r.URL.Path
			rest, _ := io.ReadAll(r.Body)
			_, _ = w.Write(append(first, rest...))
		default:
			tokens.ServeHTTP(w, r)
		}
	})
}

// pausingUpload is a body whose second half is sent once gate is closed.
func pausingUpload(gate <-chan struct{}) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, halfBody)
		<-gate
		_, _ = io.WriteString(writer, halfBody)
		_ = writer.Close()
	}()
	return reader
}

// TestDrainLosesNoRequestUnderLoad holds that a SIGTERM costs none of 20 requests in flight, wherever each of them is, while other
// clients keep coming; that the broker is not ready meanwhile; and that its exit code is 0.
func TestDrainLosesNoRequestUnderLoad(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	gate, arrived := make(chan struct{}), make(chan string, 20)
	manager := brokertest.NewSystemd(t).Start()
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, pausingAPI(arrived, gate, eTrusted)), manager.Variable(), "BROKER_SHUTDOWN_GRACE="+brokertest.Timeout.String()))
	release := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release) // or the API would not end either
	brokertest.Eventually(t, "it is ready", func() bool { return manager.Count("READY=1") == 1 })

	answers := make(chan brokertest.Response, 20)
	for i := range 20 {
		go func() {
			switch i % 4 {
			case 0:
				answers <- brokertest.Do(http.NewRequest(http.MethodPost, p.url+"/upload", pausingUpload(gate)))
			case 1:
				answers <- brokertest.Do(http.NewRequest(http.MethodPost, p.url+"/header", bytes.NewReader([]byte(halfBody))))
			case 2:
				answers <- brokertest.Do(http.NewRequest(http.MethodGet, p.url+"/header", nil))
			default:
				answers <- brokertest.Do(http.NewRequest(http.MethodGet, p.url+"/body", nil))
			}
		}()
	}
	for range 20 {
		brokertest.Receive(t, "each request upstream", arrived)
	}
	var load sync.WaitGroup
	enough := make(chan struct{})
	served := make(chan struct{}, 1)
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
				}
				// A late connection is refused, but no response is truncated.
				if got := brokertest.Do(http.NewRequest(http.MethodGet, p.url+"/channels", nil)); got.Status != 0 && (got.Status != http.StatusOK || got.Err != nil) {
					t.Errorf("the load: %d, %v", got.Status, got.Err)
				}
				select {
				case served <- struct{}{}:
				default:
				}
			}
		})
	}
	brokertest.Receive(t, "the load", served)
	p.signal(syscall.SIGTERM)
	brokertest.Eventually(t, "STOPPING=1 is sent", func() bool { return manager.Count("STOPPING=1") == 1 })
	brokertest.Eventually(t, "it is not ready", func() bool {
		got := brokertest.Get(t, p.admin+"/readyz")
		return got.Status == http.StatusServiceUnavailable && strings.Contains(got.Body, "shutting down")
	})
	brokertest.Eventually(t, "new connections are refused", func() bool {
		return strings.Contains(fmt.Sprint(brokertest.Do(http.NewRequest(http.MethodGet, p.url+"/channels", nil)).Err), "refused")
	})
	close(enough)
	load.Wait()
	select {
	case got := <-answers:
		t.Fatalf("a request ended before its time: %d, %v", got.Status, got.Err)
	case <-p.ended:
		t.Fatalf("the broker ended with requests in flight:\n%s", p.logs)
	default:
	}

	release()
	for range 20 {
		if got := brokertest.Receive(t, "an answer", answers); got.Status != http.StatusOK || got.Err != nil || got.Body != halfBody+halfBody {
			t.Errorf("a request in flight was lost: %d, %d bytes, %v", got.Status, len(got.Body), got.Err)
		}
	}
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, p.logs)
	}
	if len(p.logs.Lines("all requests have ended")) != 1 {
		t.Errorf("log:\n%s", p.logs)
	}
}

// TestDrainIgnoresIdleConnections: connections without a request in flight do not delay the shutdown.
func TestDrainIgnoresIdleConnections(t *testing.T) {
	t.Parallel()
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_SHUTDOWN_GRACE=1h"))
	b.WaitReady()
	for name, said := range map[string]string{
		"silent":         "",
		"half a header":  "GET /channels HTTP/1.1\r\nHo",
		"a request done": "GET /channels HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, said); err != nil {
			t.Fatal(err)
		}
		if name == "a request done" {
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Fatal(response, err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
		}
	}
	if code := b.Stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if len(b.Logs.Lines("all requests have ended")) != 1 {
		t.Errorf("log:\n%s", b.Logs)
	}
}
