package http2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/http2"
)

// caller is a Caller that may go away.
type caller struct{ ctx context.Context }

func (c caller) Context() context.Context    { return c.ctx }
func (caller) CancelWhenGone(http1.Canceler) {}

// startServer starts a server with HTTP/2, and returns a client for it.
func startServer(t *testing.T, timeout time.Duration, handler http.HandlerFunc) *http2.Client {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return newClient(t, s.URL, timeout, s.Client().Transport.(*http.Transport))
}

func newClient(t *testing.T, server string, timeout time.Duration, trusting *http.Transport) *http2.Client {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	if trusting != nil {
		transport.TLSClientConfig = trusting.TLSClientConfig.Clone()
		transport.TLSClientConfig.NextProtos = nil
	}
	client := http2.New(u, transport, timeout)
	t.Cleanup(client.CloseIdle)
	return client
}

func newRequest(t *testing.T, method string) *http1.ClientRequest {
	return &http1.ClientRequest{Method: method, Target: "/", Fields: http1.Fields{{Name: "host", Value: "api.example"}}, Caller: caller{t.Context()}}
}

// roundTrip returns a response, with its body.
func roundTrip(client *http2.Client, r *http1.ClientRequest) (response *http1.ClientResponse, body string, err error) {
	response, err = client.RoundTrip(r)
	if err != nil {
		return nil, "", err
	}
	read, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	return response, string(read), err
}

// stream is a Stream whose bytes come from a pipe.
type stream struct {
	*io.PipeReader
	trailer http1.Fields
}

func (s stream) Trailer() http1.Fields { return s.trailer }
func (s stream) Interrupt()            { _ = s.CloseWithError(io.ErrClosedPipe) }

func withStream(r *http1.ClientRequest, length int64) *io.PipeWriter {
	read, write := io.Pipe()
	r.Stream, r.ContentLength = stream{read, http1.Fields{{Name: "sum", Value: "1"}}}, length
	return write
}

func TestSendsRequest(t *testing.T) {
	client := startServer(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.Header().Set("X-B", "2")
		w.Header().Set("X-A", "1")
		_, _ = fmt.Fprint(w, r.Proto, " ", r.Method, " ", r.RequestURI, " ", r.Host, " ", r.Header, " ", r.ContentLength, " ", string(body), " ", r.Trailer, " ", err)
	})
	for _, test := range []struct {
		change func(r *http1.ClientRequest)
		want   string
	}{
		{func(*http1.ClientRequest) {}, "HTTP/2.0 POST / api.example map[Content-Length:[0]] 0  map[] <nil>"},
		{func(r *http1.ClientRequest) { r.Method, r.Target = "GET", "/a|b//%2F?%zz&;" }, "HTTP/2.0 GET /a|b//%2F?%zz&; api.example map[] 0  map[] <nil>"},
		{func(r *http1.ClientRequest) { r.Method, r.Target = "GET", "//a/b?" }, "HTTP/2.0 GET //a/b? api.example map[] 0  map[] <nil>"},
		{func(r *http1.ClientRequest) {
			r.Fields = append(r.Fields, http1.Field{Name: "a", Value: "1"}, http1.Field{Name: "A", Value: "2"}, http1.Field{Name: "content-length", Value: "9"})
			r.Body = []byte("ok")
		}, "HTTP/2.0 POST / api.example map[A:[1 2] Content-Length:[2]] 2 ok map[] <nil>"},
		{func(r *http1.ClientRequest) {
			w := withStream(r, 2)
			go func() { _, _ = io.WriteString(w, "o"); _, _ = io.WriteString(w, "k") }()
		}, "HTTP/2.0 POST / api.example map[Content-Length:[2]] 2 ok map[] <nil>"},
		{func(r *http1.ClientRequest) {
			r.Fields.Add("Trailer", "Sum")
			w := withStream(r, -1)
			go func() { _, _ = io.WriteString(w, "ok"); _ = w.Close() }()
		}, "HTTP/2.0 POST / api.example map[] -1 ok map[Sum:[1]] <nil>"},
	} {
		r := newRequest(t, "POST")
		test.change(r)
		response, body, err := roundTrip(client, r)
		if err != nil || body != test.want {
			t.Errorf("got %q, %v, want %q", body, err, test.want)
			continue
		}
		if got := fmt.Sprint(response.Fields[len(response.Fields)-2:]); response.Status != 200 || got != "[{X-A 1} {X-B 2}]" {
			t.Errorf("got %d with %s, want 200 with sorted fields", response.Status, got)
		}
	}
}

// Over HTTP/1.1, net/http reads the body once more after the last byte of its length.
func TestStreamsToServerWithoutHTTP2(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.Proto, " ", string(body), " ", err)
	}))
	t.Cleanup(s.Close)
	client := newClient(t, s.URL, time.Minute, s.Client().Transport.(*http.Transport))
	for range 20 {
		r := newRequest(t, "POST")
		w := withStream(r, 2)
		go func() { _, _ = io.WriteString(w, "ok") }()
		if _, body, err := roundTrip(client, r); err != nil || body != "HTTP/1.1 ok <nil>" {
			t.Fatalf("got %q, %v, want the whole body over HTTP/1.1", body, err)
		}
	}
}

// The read after the last byte must not stop the clock.
func TestTimeoutAfterStreamToServerWithoutHTTP2(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(s.Close)
	defer close(release)
	client := newClient(t, s.URL, 300*time.Millisecond, s.Client().Transport.(*http.Transport))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r := newRequest(t, "POST")
	r.Caller = caller{ctx}
	w := withStream(r, 2)
	go func() { _, _ = io.WriteString(w, "ok") }()
	if _, _, err := roundTrip(client, r); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestRefusesTargetThatItWouldChange(t *testing.T) {
	client := startServer(t, time.Minute, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	r := newRequest(t, "GET")
	r.Target = "//a|b"
	_, _, err := roundTrip(client, r)
	if refused := (*problem.Problem)(nil); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
		t.Errorf("got %v, want a problem of the app", err)
	}
}

func TestReceivesResponse(t *testing.T) {
	for name, test := range map[string]struct {
		method string
		serve  http.HandlerFunc
		status int // 0 means an error
		length int64
		body   string
	}{
		"length": {"GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }, 200, 2, "ok"},
		"no length": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "o")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "k")
		}, 200, -1, "ok"},
		"HEAD": {"HEAD", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "9") }, 200, 9, ""},
		"304 with a length": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			w.WriteHeader(304)
		}, 304, 9, ""},
		"304": {"GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, 304, -1, ""},
		"204": {"GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			client := startServer(t, time.Minute, test.serve)
			response, body, err := roundTrip(client, newRequest(t, test.method))
			if err != nil || response.Status != test.status || response.ContentLength != test.length || body != test.body {
				t.Errorf("got %+v, %q, %v, want %d, length %d, %q", response, body, err, test.status, test.length, test.body)
			}
		})
	}
}

func TestReturnsTrailers(t *testing.T) {
	client := startServer(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok")
		w.Header().Set(http.TrailerPrefix+"Sum", "1")
	})
	response, err := client.RoundTrip(newRequest(t, "GET"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if got := fmt.Sprint(response.Body.Trailer()); err != nil || string(body) != "ok" || got != "[{Sum 1}]" {
		t.Errorf("got %q, %v, trailers %s", body, err, got)
	}
	_ = response.Body.Close()
}

type informational struct{ got []string }

func (i *informational) Informational(status int, _ string, fields http1.Fields) error {
	i.got = append(i.got, fmt.Sprint(status, " ", fields))
	return nil
}

func TestForwardsInformationalResponses(t *testing.T) {
	for count, succeeds := range map[int]bool{32: true, 33: false} {
		client := startServer(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "a")
			for range count {
				w.WriteHeader(103)
			}
			_, _ = io.WriteString(w, "ok")
		})
		r, handler := newRequest(t, "GET"), &informational{}
		r.OnInformational = handler
		_, _, err := roundTrip(client, r)
		if (err == nil) != succeeds || len(handler.got) != 32 || handler.got[0] != "103 [{Link a}]" {
			t.Errorf("got %v, %d informational responses, the first %q", err, len(handler.got), handler.got[:1])
		}
	}
}

func TestOnlyTheSilenceOfTheServerTimesOut(t *testing.T) {
	const timeout = 300 * time.Millisecond
	silent := startServer(t, timeout, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	if _, _, err := roundTrip(silent, newRequest(t, "GET")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("silent: got %v", err)
	}
	unread := startServer(t, timeout, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	r := newRequest(t, "POST")
	w := withStream(r, -1)
	go func() { _, _ = w.Write(make([]byte, 5<<20)) }()
	if _, _, err := roundTrip(unread, r); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "write") {
		t.Errorf("unread: got %v", err)
	}
	patient := startServer(t, timeout, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	r = newRequest(t, "POST")
	w = withStream(r, 2)
	go func() {
		time.Sleep(3 * timeout)
		_, _ = io.WriteString(w, "ok")
	}()
	if _, body, err := roundTrip(patient, r); err != nil || body != "ok" {
		t.Errorf("pause of the app: got %q, %v", body, err)
	}
	slow := startServer(t, timeout, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		time.Sleep(3 * timeout)
		_, _ = io.WriteString(w, "ok")
	})
	if _, body, err := roundTrip(slow, newRequest(t, "GET")); err != nil || body != "ok" {
		t.Errorf("slow body: got %q, %v", body, err)
	}
}

func TestStreamFailureIsNoEnd(t *testing.T) {
	for _, length := range []int64{9, -1} {
		seen := make(chan error, 1)
		client := startServer(t, time.Minute, func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			seen <- err
		})
		r := newRequest(t, "POST")
		w := withStream(r, length)
		go func() {
			_, _ = io.WriteString(w, "ok")
			failure := io.EOF
			if length < 0 {
				failure = errors.New("chunk")
			}
			_ = w.CloseWithError(failure)
		}()
		if _, _, err := roundTrip(client, r); !errors.Is(err, http1.ErrRequestBody) {
			t.Errorf("got %v, want ErrRequestBody", err)
		}
		if err := <-seen; err == nil {
			t.Error("the server saw a complete body")
		}
	}
}

// While the app pauses in its upload, the server goes away.
func TestNoticesServerDuringPause(t *testing.T) {
	client := startServer(t, 0, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 1))
		panic(http.ErrAbortHandler)
	})
	r := newRequest(t, "POST")
	w := withStream(r, -1)
	go func() { _, _ = io.WriteString(w, "a") }()
	if _, _, err := roundTrip(client, r); err == nil {
		t.Error("got no error")
	}
	if _, err := io.WriteString(w, "b"); err == nil {
		t.Error("the stream is still being read")
	}
}

func TestReturnsEarlyResponse(t *testing.T) {
	client := startServer(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusRequestEntityTooLarge) })
	for range 20 {
		r := newRequest(t, "POST")
		w := withStream(r, 5<<20)
		go func() { _, _ = w.Write(make([]byte, 5<<20)) }()
		if response, body, err := roundTrip(client, r); err != nil || response.Status != 413 || body != "no\n" {
			t.Errorf("got %+v, %q, %v, want 413", response, body, err)
		}
	}
}

func TestCallerEndsExchange(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	client := startServer(t, time.Minute, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		close(ended)
	})
	r := newRequest(t, "POST")
	r.Caller = caller{ctx}
	if _, _, err := roundTrip(client, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	<-ended
}
