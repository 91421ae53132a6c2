package server

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// Tokens live for 6 s, and the token endpoint takes 1 s. Even so, four clients see no error and no request slower than the
// API itself, and each refresh interval has one token request.
func TestRefreshDelaysNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, fakeetrusted.Options{Lifetime: 6 * time.Second})
		b.eTrusted.SetTokenDelay(time.Second)
		const apiTakes = 20 * time.Millisecond
		b.eTrusted.SetAPIDelay(apiTakes)
		b.get(t) // waits for the first token
		began, requests := time.Now(), b.eTrusted.TokenRequestCount()
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				for time.Since(began) < 20*time.Second {
					if response, took := b.get(t); response.StatusCode != http.StatusOK || took != apiTakes {
						t.Errorf("got status %d after %v, want 200 after %v", response.StatusCode, took, apiTakes)
						return
					}
				}
			})
		}
		clients.Wait()
		// A refresh is due 4.2 to 4.8 s after the last token request. The first one was 1.02 s before began.
		if n := b.eTrusted.TokenRequestCount() - requests; n != 4 && n != 5 {
			t.Errorf("got %d token requests in 20 s, want 4 or 5: one per refresh interval", n)
		}
		if n := b.eTrusted.APIRequestCount(); n != 1+4*1000 {
			t.Errorf("got %d requests at the API, want 4001", n)
		}
	})
}

func TestServesThroughLoginServerOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime = 60 * time.Second
		b := newBubble(t, fakeetrusted.Options{Lifetime: lifetime})
		b.get(t)
		began := time.Now()
		b.eTrusted.SetTokenFault(fakeetrusted.Status(http.StatusServiceUnavailable, nil))

		// Until shortly before the token expires, no request fails.
		for time.Since(began) < lifetime-time.Second {
			if response, took := b.get(t); response.StatusCode != http.StatusOK || took != 0 {
				t.Fatalf("%v into the outage: got status %d after %v, want 200 after 0s", time.Since(began), response.StatusCode, took)
			}
			time.Sleep(500 * time.Millisecond)
		}

		// After that, each request gets a 503, and none goes upstream without a token.
		time.Sleep(2 * time.Second)
		reached := b.eTrusted.APIRequestCount()
		response, took := b.get(t)
		status := response.Header.Get("Proxy-Status")
		if response.StatusCode != http.StatusServiceUnavailable || took != 10*time.Second ||
			response.Header.Get("Retry-After") == "" || !strings.HasPrefix(status, "etrusted-broker; error=") {
			t.Errorf("got status %d after %v with the header %v, want 503 after 10s with Retry-After and Proxy-Status", response.StatusCode, took, response.Header)
		}
		if n := b.eTrusted.APIRequestCount() - reached; n != 0 {
			t.Errorf("got %d requests at the API without a valid token, want 0", n)
		}

		// Once the login server works again, so does the broker.
		b.eTrusted.SetTokenFault(nil)
		repaired := time.Now()
		for response.StatusCode != http.StatusOK {
			response, _ = b.get(t)
		}
		if took := time.Since(repaired); took > 30*time.Second {
			t.Errorf("got the first 200 %v after the outage, want at most 30s: one backoff", took)
		}
	})
}

func TestRejectedCredentialsFailWithoutDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, fakeetrusted.Options{ClientSecret: "another"})
		response, _ := b.get(t)
		if response.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("got status %d, want 503", response.StatusCode)
		}
		if response, took := b.get(t); response.StatusCode != http.StatusServiceUnavailable || took != 0 {
			t.Errorf("got status %d after %v, want 503 after 0s", response.StatusCode, took)
		}
		if n := b.eTrusted.APIRequestCount(); n != 0 {
			t.Errorf("got %d requests at the API without a token, want 0", n)
		}
	})
}
