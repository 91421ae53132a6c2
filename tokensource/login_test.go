package tokensource_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// login is the login server of a fleet: a RoundTripper, so that ten thousand brokers can use it.
type login struct {
	mu       sync.Mutex
	lifetime time.Duration
	delay    time.Duration
	fault    string // one of the constants below; empty: none
	caches   bool   // it sends the same token until that ends, always as if it were new
	pairs    map[string]bool
	requests []time.Time // when it got them
	clients  []string    // and from which
	ends     map[string]time.Time
	last     string // the authorization of the last token
}

// What a login server, or the network path to it, may do.
const (
	isDown       = "503"
	rejects      = "401"
	forbids      = "403"
	hangs        = "no answer"
	disconnected = "no connection" // only of a path
)

func newLogin(lifetime time.Duration) *login {
	return &login{
		lifetime: lifetime, delay: 100 * time.Millisecond, ends: map[string]time.Time{},
		pairs: map[string]bool{fakeetrusted.DefaultClientID + "/" + fakeetrusted.DefaultClientSecret: true},
	}
}

func (l *login) RoundTrip(r *http.Request) (*http.Response, error) { return l.serve(r, "") }

// serve answers a request; fault, if not empty, is that of the network path.
func (l *login) serve(r *http.Request, fault string) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	if fault == "" {
		fault = l.fault
		l.requests = append(l.requests, time.Now())
		l.clients = append(l.clients, form.Get("client_id"))
	}
	delay := l.delay
	l.mu.Unlock()
	if fault == disconnected {
		return nil, fmt.Errorf("%s", fault)
	}
	if fault == hangs {
		delay = time.Hour
	}
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	status, answer := 200, ""
	switch {
	case fault == isDown:
		status = 503
	case fault == forbids:
		status, answer = 403, "<html>"
	case fault == rejects, !l.pairs[form.Get("client_id")+"/"+form.Get("client_secret")]:
		status, answer = 401, `{"error":"invalid_client"}`
	default:
		if !l.caches || time.Now().After(l.ends[l.last]) {
			l.last = fmt.Sprint("Bearer token", len(l.ends))
			l.ends[l.last] = time.Now().Add(l.lifetime)
		}
		answer = fmt.Sprintf(`{"access_token":%q,"expires_in":%d}`, l.last[len("Bearer "):], int(l.lifetime.Seconds()))
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}, nil
}

func (l *login) set(fault string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
}

func (l *login) setDelay(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

func (l *login) setLifetime(lifetime time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lifetime = lifetime
}

func (l *login) setPair(id, secret string, good bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pairs[id+"/"+secret] = good
}

func (l *login) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.requests)
}

// countOf returns the number of requests with a client ID.
func (l *login) countOf(client string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range l.clients {
		if id == client {
			n++
		}
	}
	return n
}

// busiest returns the greatest number of requests within a window, from the first-th request on.
func (l *login) busiest(window time.Duration, first int) (most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := first
	for i := first; i < len(l.requests); i++ {
		for l.requests[i].Sub(l.requests[oldest]) >= window {
			oldest++
		}
		most = max(most, i-oldest+1)
	}
	return most
}

// accept makes a token valid that the login server has not issued to these brokers.
func (l *login) accept(authorization string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends[authorization] = time.Now().Add(l.lifetime)
}

// alive reports whether the API would accept a token.
func (l *login) alive(authorization string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.ends[authorization])
}

// path is a broker's own network path to the login server.
type path struct {
	*login
	mu        sync.Mutex
	fault     string
	attempted int // all requests, including those that did not reach it
}

func (w *path) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.attempted++
	fault := w.fault
	w.mu.Unlock()
	return w.serve(r, fault)
}

func (w *path) set(fault string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

func (w *path) attempts() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.attempted
}
