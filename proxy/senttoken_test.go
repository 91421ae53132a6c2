package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// No field of a response contains the token that was sent, whatever else is in it.
func TestDropsFieldsWithSentToken(t *testing.T) {
	forAllKinds(t, func(t *testing.T, kind string) {
		up := serve(t, kind, func(w http.ResponseWriter, r *http.Request) {
			sent := r.Header.Get("Authorization")
			token := strings.TrimPrefix(sent, "Bearer ")
			w.Header().Set("X-Early", token)
			w.Header().Set("X-Kept", "Bearer "+token[1:])
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("X-Early")
			w.Header().Set("Trailer", "X-Sum, X-Trailer")
			w.Header().Set("X-Echo", sent)
			w.Header().Set("X-Inside", `{"token":"`+token+`"}`)
			w.Header().Add("X-Lines", "1")
			w.Header().Add("X-Lines", token)
			_, _ = io.WriteString(w, token)
			_ = http.NewResponseController(w).Flush() // so that there can be trailers
			w.Header().Set("X-Trailer", "a, "+token)
			w.Header().Set("X-Sum", "1")
		})
		for name, change := range map[string]func(*setup){"plain": func(*setup) {}, "with links": withLinkRewriting} {
			b := start(t, up, change)
			c := b.dial(t)
			c.send("GET /x HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n\r\n")
			if got := c.head(); got != "HTTP/1.1 103 Early Hints\r\nX-Kept: Bearer "+canary[1:]+"\r\n\r\n" {
				t.Errorf("%s: got %q, want the informational response without X-Early", name, got)
			}
			a := c.result("GET")
			if whole := fmt.Sprint(a.header, a.trailer); strings.Contains(whole, canary) {
				t.Errorf("%s: got %s, want no token", name, whole)
			}
			if a.header.Get("X-Kept") == "" || len(a.header["X-Lines"]) != 1 || a.trailer.Get("X-Sum") != "1" || a.body != canary {
				t.Errorf("%s: got %v %q %v, want the fields without the token, and the body unchanged", name, a.header, a.body, a.trailer)
			}
			if got := b.record(t).DroppedFields; got != 5 {
				t.Errorf("%s: got %d fields recorded, want 5", name, got)
			}
		}
	})
}

func TestDropsReasonPhraseWithSentToken(t *testing.T) {
	addr := startRawUpstream(t, afterRequest("HTTP/1.1 103 "+canary+"\r\n\r\nHTTP/1.1 200 so "+canary+"\r\nContent-Length: 0\r\n\r\n"))
	b := start(t, "http://"+addr)
	c := b.dial(t)
	c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if got := c.head(); got != "HTTP/1.1 103 Early Hints\r\n\r\n" {
		t.Errorf("got %q, want the usual reason phrase", got)
	}
	if got := c.head(); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
		t.Errorf("got %q, want the usual reason phrase", got)
	}
	if got := b.record(t).DroppedFields; got != 2 {
		t.Errorf("got %d recorded, want 2", got)
	}
}

// After a retry, it is the second token.
func TestDropsFieldsWithTokenOfRetry(t *testing.T) {
	up := startRecorder(t, h1, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") == authorization {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	_, revoke := startRevoked(t, h1)
	b := start(t, up.url, revoke, func(s *setup) {
		s.fakeTokens().wait = func(context.Context) (string, error) { return "Bearer another.0815", nil }
	})
	if a := b.get(t, "/x"); a.status != 200 || a.header["X-Echo"] != nil {
		t.Errorf("got %d %v, want 200 without X-Echo", a.status, a.header)
	}
	if got := b.record(t).DroppedFields; got != 1 {
		t.Errorf("got %d fields recorded, want 1", got)
	}
}
