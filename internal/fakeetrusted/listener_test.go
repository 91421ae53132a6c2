package fakeetrusted

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// network runs f in a bubble, with s behind an http.Server on a network in memory, and takes all of it down again.
func network(t *testing.T, s *Server, f func(t *testing.T, s *Server, client *http.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := NewListener()
		server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		transport := &http.Transport{DialContext: l.Dial}
		f(t, s, &http.Client{Transport: transport})
		transport.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// formRequest is a token request to be sent over the network.
func formRequest(t *testing.T) *http.Request {
	t.Helper()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	return request(t, "POST", "http://login.test"+tokenPath, goodForm().Encode(), header)
}

func TestDelays(t *testing.T) {
	network(t, New(Options{Lifetime: 6 * time.Second}), func(t *testing.T, s *Server, client *http.Client) {
		s.SetTokenDelay(time.Second)
		begin := time.Now()
		var got tokenAnswer
		decodeAnswer(t, send(t, client, formRequest(t)), 200, &got)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("took %v of fake time", took)
		}

		// The token is looked at when the delay is over, and by then it may have died.
		for _, test := range []struct {
			delay time.Duration
			want  int
		}{{2 * time.Second, 200}, {time.Minute, 401}} {
			s.SetAPIDelay(test.delay)
			begin = time.Now()
			r := request(t, "GET", "http://api.test/channels", "", bearer(got.AccessToken))
			wantStatus(t, send(t, client, r), test.want)
			if took := time.Since(begin); took != test.delay {
				t.Errorf("took %v, want %v", took, test.delay)
			}
		}
		if got := s.APIRequests()[1]; got.Host != "api.test" || got.At != begin {
			t.Errorf("recorded %+v", got)
		}
	})
}

func TestCountsRequestsBeforeAnswer(t *testing.T) {
	network(t, New(Options{}), func(t *testing.T, s *Server, client *http.Client) {
		s.SetTokenDelay(time.Hour)
		done := make(chan struct{})
		r := formRequest(t)
		go func() {
			defer close(done)
			if resp, err := client.Do(r); err == nil {
				_ = resp.Body.Close()
			}
		}()
		synctest.Wait()
		if got := s.TokenRequests(); s.TokenRequestCount() != 1 || got[0].Status != 0 || got[0].Form.Get("audience") == "" {
			t.Errorf("got %+v, want one request without a status", got)
		}
		s.SetTokenDelay(0) // has no effect on the one that waits
		begin := time.Now()
		<-done
		if time.Since(begin) != time.Hour || s.TokenRequests()[0].Status != 200 {
			t.Errorf("answered after %v: %+v", time.Since(begin), s.TokenRequests())
		}
	})
}

func TestDelayEndsWithClient(t *testing.T) {
	network(t, New(Options{}), func(t *testing.T, s *Server, client *http.Client) {
		s.SetTokenDelay(time.Hour)
		client.Timeout = time.Second
		begin := time.Now()
		resp, err := client.Do(formRequest(t))
		if err == nil {
			_ = resp.Body.Close()
		}
		var timeout *url.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("got %v, want a timeout", err)
		}
		synctest.Wait()
		if s.TokenRequests()[0].Status == 0 || time.Since(begin) != time.Second {
			t.Errorf("still waiting after %v", time.Since(begin))
		}
	})
}

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewListener()
		if l.Addr().Network() != "pipe" || l.Addr().String() != "pipe" {
			t.Errorf("got %v, want pipe", l.Addr())
		}
		accepted := make(chan net.Conn, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
			}
			accepted <- c
		}()
		client, err := l.Dial(t.Context(), "tcp", "anywhere:443")
		if err != nil {
			t.Fatal(err)
		}
		server := <-accepted

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Dial(ctx, "tcp", "x"); !errors.Is(err, context.Canceled) { // no Accept is called
			t.Errorf("got %v, want context.Canceled", err)
		}

		waiting := make(chan error, 2)
		go func() {
			_, err := l.Accept()
			waiting <- err
		}()
		synctest.Wait() // it waits now
		for range 2 {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := <-waiting; !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want net.ErrClosed", err)
		}
		if _, err := l.Dial(t.Context(), "tcp", "x"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want ECONNREFUSED", err)
		}

		go func() { _, _ = client.Write([]byte("still open")) }()
		buf := make([]byte, 20)
		if n, err := server.Read(buf); err != nil || string(buf[:n]) != "still open" {
			t.Errorf("got %q, %v, want still open", buf[:n], err)
		}
		_, _ = client.Close(), server.Close()
	})
}

func TestDialIsRefusedOnceListenerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewListener()
		refused := make(chan error, 1)
		go func() {
			_, err := l.Dial(t.Context(), "tcp", "x")
			refused <- err
		}()
		synctest.Wait()
		_ = l.Close()
		if err := <-refused; !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want ECONNREFUSED", err)
		}
	})
}
