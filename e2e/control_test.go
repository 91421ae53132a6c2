package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// startUnprotected serves what the broker must not be: a proxy that takes whatever comes for the app's, and lets every
// page read the answer.
func startUnprotected(t *testing.T, upstream string) (address string) {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			for name := range r.Out.Header {
				if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") {
					r.Out.Header.Del(name)
				}
			}
		},
		ModifyResponse: func(r *http.Response) error {
			for _, what := range []string{"Origin", "Methods", "Headers"} {
				r.Header.Set("Access-Control-Allow-"+what, "*")
			}
			return nil
		},
	})
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// counter is an API without a lock. What a page cannot do there, it cannot do at all.
type counter struct {
	url  string
	mu   sync.Mutex
	seen map[string]bool // paths
}

func startCounter(t *testing.T) *counter {
	t.Helper()
	c := &counter{seen: map[string]bool{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodOptions { // that is the browser's own question, and not yet what the page wants done
		c.mu.Lock()
		c.seen[r.URL.Path] = true
		c.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, apiAnswer)
}

// wantReached waits until the request of each trial, and those for the other paths, have come.
func (c *counter) wantReached(t *testing.T, trials []trial, others ...string) {
	t.Helper()
	paths := others
	for _, trial := range trials {
		paths = append(paths, trial.path)
	}
	for _, path := range paths {
		eventually(t, patience, path+" reaches the unprotected API", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.seen[path]
		})
	}
}
