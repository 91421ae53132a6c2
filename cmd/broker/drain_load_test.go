package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// halfBody is half of each body: the drain begins in the middle. It is larger than any buffer between client and API.
var halfBody = strings.Repeat("0123456789abcdef", 16<<10)

// pausingAPI is an API whose requests pause until gate is closed, and are announced on arrived: /header before the response,
// /body in the middle of the response, /upload in the middle of the request.
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

// pausingUpload returns a body whose second half follows once gate is closed.
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

// SIGTERM arrives with 20 requests in flight, each in some phase, while other clients keep sending requests. All 20 succeed,
// /readyz says that the broker is shutting down, and the exit code is 0.
func TestDrainLosesNoRequestUnderLoad(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	gate, arrived := make(chan struct{}), make(chan string, 20)
	manager := brokertest.NewSystemd(t).Start()
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, pausingAPI(arrived, gate, eTrusted)), manager.Variable(), "BROKER_SHUTDOWN_GRACE="+brokertest.Timeout.String()))
	release := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release) // otherwise a failed test would hang on the API
	brokertest.Eventually(t, "the broker is ready", func() bool { return manager.Count("READY=1") == 1 })

	responses := make(chan brokertest.Response, 20)
	for i := range 20 {
		go func() {
			switch i % 4 {
			case 0:
				responses <- brokertest.Do(http.NewRequest(http.MethodPost, p.URL+"/upload", pausingUpload(gate)))
			case 1:
				responses <- brokertest.Do(http.NewRequest(http.MethodPost, p.URL+"/header", bytes.NewReader([]byte(halfBody))))
			case 2:
				responses <- brokertest.Do(http.NewRequest(http.MethodGet, p.URL+"/header", nil))
			default:
				responses <- brokertest.Do(http.NewRequest(http.MethodGet, p.URL+"/body", nil))
			}
		}()
	}
	for range 20 {
		brokertest.Receive(t, "each request upstream", arrived)
	}
	var load sync.WaitGroup
	stopLoad := make(chan struct{})
	served := make(chan struct{}, 1)
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stopLoad:
					return
				default:
				}
				// A late connection is refused, but no response is truncated.
				if got := brokertest.Do(http.NewRequest(http.MethodGet, p.URL+"/channels", nil)); got.Status != 0 && (got.Status != http.StatusOK || got.Err != nil) {
					t.Errorf("the load: got status %d, %v, want 200 or a refused connection", got.Status, got.Err)
				}
				select {
				case served <- struct{}{}:
				default:
				}
			}
		})
	}
	brokertest.Receive(t, "a response to the load", served)
	p.signal(syscall.SIGTERM)
	brokertest.Eventually(t, "STOPPING=1 is sent", func() bool { return manager.Count("STOPPING=1") == 1 })
	brokertest.Eventually(t, "/readyz reports the shutdown", func() bool {
		got := brokertest.Get(t, p.Admin+"/readyz")
		return got.Status == http.StatusServiceUnavailable && strings.Contains(got.Body, "shutting down")
	})
	brokertest.Eventually(t, "new connections are refused", func() bool {
		return strings.Contains(fmt.Sprint(brokertest.Do(http.NewRequest(http.MethodGet, p.URL+"/channels", nil)).Err), "refused")
	})
	close(stopLoad)
	load.Wait()
	select {
	case got := <-responses:
		t.Fatalf("got status %d, %v before the gate opened, want no response yet", got.Status, got.Err)
	case <-p.Ended:
		t.Fatalf("the broker ended with requests in flight, want it to wait:\n%s", p.Logs)
	default:
	}

	release()
	for range 20 {
		if got := brokertest.Receive(t, "each response", responses); got.Status != http.StatusOK || got.Err != nil || got.Body != halfBody+halfBody {
			t.Errorf("a request in flight: got status %d, %d bytes, %v, want 200 and %d bytes", got.Status, len(got.Body), got.Err, 2*len(halfBody))
		}
	}
	if code := p.Wait(); code != exitOK {
		t.Errorf("got exit code %d, want %d:\n%s", code, exitOK, p.Logs)
	}
	if n := len(p.Logs.Lines("all requests have finished")); n != 1 {
		t.Errorf("got %d lines about the end of all requests, want 1:\n%s", n, p.Logs)
	}
}
