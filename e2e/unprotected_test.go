package e2e

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// startUnprotectedProxy serves a proxy without any protection: it removes the headers by which a browser gives away the
// origin of a request, and lets every page read the response. The browser tests run against it too, to prove that their
// attacks work.
func startUnprotectedProxy(t *testing.T, upstream string) string {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.Serve(t, &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			for name := range r.Out.Header {
				if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") {
					r.Out.Header.Del(name)
				}
			}
		},
		ModifyResponse: func(r *http.Response) error {
			for _, name := range []string{"Origin", "Methods", "Headers"} {
				r.Header.Set("Access-Control-Allow-"+name, "*")
			}
			return nil
		},
	})
}

// unprotectedAPI is an API that needs no token and records the paths of its requests. An attack that fails even here proves
// nothing about the broker.
type unprotectedAPI struct {
	url   string
	mu    sync.Mutex
	paths map[string]bool
}

func startUnprotectedAPI(t *testing.T) *unprotectedAPI {
	t.Helper()
	a := &unprotectedAPI{paths: map[string]bool{}}
	a.url = brokertest.Serve(t, a)
	return a
}

func (a *unprotectedAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodOptions { // a CORS preflight comes from the browser; the page's own request follows it
		a.mu.Lock()
		a.paths[r.URL.Path] = true
		a.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, apiBody)
}

// wantReached waits until a request for each attack's path and for each of the other paths has arrived.
func (a *unprotectedAPI) wantReached(t *testing.T, attacks []pageAttack, others ...string) {
	t.Helper()
	paths := others
	for _, attack := range attacks {
		paths = append(paths, attack.path)
	}
	for _, path := range paths {
		brokertest.Eventually(t, path+" reaches the unprotected API", func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.paths[path]
		})
	}
}
