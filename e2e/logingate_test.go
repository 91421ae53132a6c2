package e2e

import (
	"io"
	"net/http"
	"sync"
	"testing"
)

// loginGate is a proxy in front of the login server's token endpoint. A test can make it fail or hold requests.
type loginGate struct {
	url    string
	target string
	client *http.Client

	mu      sync.Mutex
	failing bool
	held    chan struct{} // held requests wait until it is closed; nil: requests are not held
}

func newLoginGate(t *testing.T, servers *testServers) *loginGate {
	t.Helper()
	g := &loginGate{target: servers.login.tokenURL(), client: servers.ca.client(t)}
	g.url = servers.ca.startServer(t, func(string) http.Handler { return g }) + "/oauth/token"
	return g
}

func (g *loginGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	failing, held := g.failing, g.held
	g.mu.Unlock()
	if held != nil {
		<-held
	}
	if failing {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	resp, err := g.client.Post(g.target, r.Header.Get("Content-Type"), r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = resp.Body.Close() }()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// setFailing makes it answer token requests with a 503, or forward them.
func (g *loginGate) setFailing(failing bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failing = failing
}

// hold makes token requests wait until release is called.
func (g *loginGate) hold() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = make(chan struct{})
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		close(g.held)
		g.held = nil
	})
}
