package http1_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/proxy/http1"
)

type handlerFunc func(*http1.ResponseWriter, *http1.Request)

func (f handlerFunc) ServeHTTP1(w *http1.ResponseWriter, r *http1.Request) { f(w, r) }

// TestServesHTTPClient serves net/http's client, which is an independent implementation.
func TestServesHTTPClient(t *testing.T) {
	s := serveOn(t, networks["tcp"], func(w *http1.ResponseWriter, r *http1.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Fields.Add("X-Echo", r.Method+" "+r.Target)
		w.WriteHead(200, "Fine", -1)
		_, _ = w.Write(body)
		w.Trailer(http1.Fields{{Name: "X-Length", Value: decimal(len(body))}})
	}, nil)
	client := &http.Client{Timeout: 10 * time.Second}
	for _, body := range []io.Reader{strings.NewReader("body"), io.MultiReader(strings.NewReader("bo"), strings.NewReader("dy"))} {
		response, err := client.Post("http://"+s.address+"/x", "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || string(text) != "body" || response.Status != "200 Fine" || response.Header.Get("X-Echo") != "POST /x" || response.Trailer.Get("X-Length") != "4" {
			t.Errorf("got %q, %v, %s, %v, %v", text, err, response.Status, response.Header, response.Trailer)
		}
	}
	client.CloseIdleConnections()
}

// Too many open files is an error that goes away; others end Serve.
func TestServeSurvivesTemporaryErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, accepted := net.Pipe()
		fatal := errors.New("fatal")
		s := newServer(ok)
		began := time.Now()
		errs := []error{&net.OpError{Op: "accept", Err: syscall.EMFILE}, syscall.ENFILE}
		accept := listenerOf(accepted)
		l := listenerFunc(func() (net.Conn, error) {
			if len(errs) == 0 {
				return accept()
			}
			err := errs[0]
			errs = errs[1:]
			return nil, err
		})
		if err := s.Serve(l); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want the error of the listener", err)
		}
		if paused := time.Since(began); paused < 100*time.Millisecond || paused > time.Second {
			t.Errorf("two errors paused Serve for %s, want some 100 ms", paused)
		}
		if err := s.Serve(listenerFunc(func() (net.Conn, error) { return nil, fatal })); !errors.Is(err, fatal) {
			t.Errorf("got %v, want %v", err, fatal)
		}
		_ = client.Close()
	})
}
