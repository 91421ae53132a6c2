package fakeetrusted

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestFaultsCanBeSetAndRemoved(t *testing.T) {
	s := New(Options{})
	s.SetTokenFault(Status(503, http.Header{"Retry-After": {"7"}}))
	resp := postForm(t, s, tokenPath, goodForm())
	wantStatus(t, resp, 503)
	if resp.header.Get("Retry-After") != "7" || resp.body != "" {
		t.Errorf("got %v, want Retry-After 7 and no body", resp.header)
	}
	s.SetTokenFault(nil)
	token := fetch(t, s).AccessToken

	s.SetAPIFault(Answer(418, "text/html", "<p>no</p>"))
	for _, h := range []http.Header{nil, bearer(token)} { // before the token is looked at
		resp = do(t, s, "GET", "/channels", "", h)
		wantStatus(t, resp, 418)
		if resp.header.Get("Content-Type") != "text/html" || resp.body != "<p>no</p>" {
			t.Errorf("got %v, want text/html with the body", resp.header)
		}
	}
	fetch(t, s) // the login server has no part in it
	s.SetAPIFault(nil)
	wantStatus(t, do(t, s, "GET", "/channels", "", bearer(token)), 200)

	if got := s.TokenRequests(); len(got) != 3 || got[0].Status != 503 || got[0].Form.Get("client_id") != DefaultClientID {
		t.Errorf("got %+v, want three requests, the first with 503", got)
	}
	if got := s.APIRequests(); len(got) != 3 || got[1].Status != 418 {
		t.Errorf("got %+v, want three requests, the second with 418", got)
	}
}

func TestFaultCanReadBody(t *testing.T) {
	s := New(Options{})
	s.SetAPIFault(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	if got := do(t, s, "POST", "/x", "hello", nil).body; got != "hello" {
		t.Errorf("got %q, want hello", got)
	}
	if got := s.APIRequests()[0]; string(got.Body) != "hello" {
		t.Errorf("got %q recorded, want hello", got.Body)
	}
}

func TestStatusKeepsItsHeader(t *testing.T) {
	h := http.Header{"X-A": {"1"}}
	fault := Status(500, h)
	h.Set("X-A", "2")
	if got := do(t, fault, "GET", "/", "", nil).header.Get("X-A"); got != "1" {
		t.Errorf("got %q, want 1", got)
	}
}

func TestAnswerWithoutContentType(t *testing.T) {
	server := httptest.NewServer(Answer(200, "", "<html>"))
	defer server.Close()
	resp := send(t, server.Client(), request(t, "GET", server.URL, "", nil))
	if got, ok := resp.header["Content-Type"]; ok || resp.body != "<html>" {
		t.Errorf("got Content-Type %q, want <html>", got)
	}
}

func TestOAuthError(t *testing.T) {
	var got map[string]string
	decodeAnswer(t, do(t, OAuthError(400, "unauthorized_client"), "POST", "/", "", nil), 400, &got)
	if got["error"] != "unauthorized_client" || got["error_description"] == "" {
		t.Errorf("got %v, want unauthorized_client with a description", got)
	}
}

func TestEchoSecret(t *testing.T) {
	s := New(Options{})
	s.SetTokenFault(EchoSecret(401))
	resp := postForm(t, s, tokenPath, goodForm())
	if !strings.Contains(resp.header.Get("X-Rejected-Client"), DefaultClientSecret) {
		t.Errorf("got %v, want the secret in X-Rejected-Client", resp.header)
	}
	var got map[string]string
	decodeAnswer(t, resp, 401, &got)
	for _, field := range []string{"error", "error_description"} {
		if !strings.Contains(got[field], DefaultClientID) || !strings.Contains(got[field], DefaultClientSecret) {
			t.Errorf("%s: got %s, want the credentials", field, got[field])
		}
	}
}

func TestRedirect(t *testing.T) {
	resp := do(t, Redirect(307, "https://evil.example/"), "POST", "/", "x", nil)
	wantStatus(t, resp, 307)
	if resp.header.Get("Location") != "https://evil.example/" || resp.body != "" {
		t.Errorf("got %v, want the Location and no body", resp.header)
	}
}

func TestTruncate(t *testing.T) {
	s := New(Options{})
	server := httptest.NewServer(s)
	defer server.Close()
	for _, after := range []int{0, 1, 100000} {
		s.SetAPIFault(Truncate(after))
		resp, err := server.Client().Do(request(t, "GET", server.URL, "", nil))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		// The server resets the connection, and a reset may discard bytes that the client has not read.
		whole := len(body) == after && errors.Is(err, io.ErrUnexpectedEOF)
		reset := len(body) <= after && errors.Is(err, syscall.ECONNRESET)
		if !whole && !reset || resp.ContentLength <= int64(after) {
			t.Errorf("got %d of %d bytes and %v, want %d bytes and an unexpected end", len(body), resp.ContentLength, err, after)
		}
	}
}

func TestSlowBody(t *testing.T) {
	network(t, New(Options{}), func(t *testing.T, s *Server, client *http.Client) {
		s.SetAPIFault(SlowBody("slow", time.Minute))
		start := time.Now()
		resp, err := client.Do(request(t, "GET", "http://etrusted.test/", "", nil))
		if err != nil {
			t.Fatal(err)
		}
		var at []time.Duration
		one := make([]byte, 1)
		for {
			n, err := resp.Body.Read(one)
			if n > 0 {
				at = append(at, time.Since(start))
			}
			if err != nil {
				break
			}
		}
		_ = resp.Body.Close()
		if len(at) != 4 || at[0] != 0 || at[1] != time.Minute || at[3] != 3*time.Minute {
			t.Errorf("bytes at %v", at)
		}
		if resp.ContentLength != -1 {
			t.Errorf("got Content-Length %d, want -1", resp.ContentLength)
		}
	})
}

func TestSlowBodyAndHangEndWithClient(t *testing.T) {
	for name, fault := range map[string]http.Handler{"drip": SlowBody("endless", time.Hour), "hang": Hang()} {
		t.Run(name, func(t *testing.T) {
			network(t, New(Options{}), func(t *testing.T, s *Server, client *http.Client) {
				s.SetAPIFault(fault)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				r := request(t, "POST", "http://etrusted.test/", "body", nil).WithContext(ctx)
				start := time.Now()
				resp, err := client.Do(r)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
					t.Errorf("got %v after %v", err, time.Since(start))
				}
				synctest.Wait() // the handler has ended, or the bubble would not
				if got := s.APIRequests()[0].Status; name == "hang" && got != 0 {
					t.Errorf("status %d of a request never answered", got)
				}
			})
		})
	}
}
