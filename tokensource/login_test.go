package tokensource_test

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// login is the login server of a fleet: a RoundTripper, so that ten thousand brokers can use it. Its tokens are JWTs.
type login struct {
	mu        sync.Mutex
	lifetime  time.Duration
	delay     time.Duration
	notBefore time.Duration // after the response, the API accepts the token
	fault     string        // a status, or one of the constants below; empty: none
	header    http.Header   // of responses that are faults
	caches    bool          // it sends the same token until that ends, always as if it were new
	pairs     map[string]bool
	requests  []*tokenRequest
	inFlight  int
	tokens    map[string]*tokenRequest // by authorization
	last      string                   // the authorization of the last token
}

// tokenRequest is a request that the login server has got.
type tokenRequest struct {
	at, ended    time.Time // ended: zero while it is in flight
	client, pair string
	inFlight     int    // how many were, with it, when it came
	outcome      string // the fault; empty: it got a token
	lifetime     time.Duration
}

// What a login server, or the network path to it, may do.
const (
	isDown       = "503"
	rejects      = "401"
	forbids      = "403"
	nonsense     = "200"
	hangs        = "no answer"
	breaks       = "the connection breaks"
	disconnected = "no connection" // only of a path
)

func newLogin(lifetime time.Duration) *login {
	return &login{
		lifetime: lifetime, delay: 100 * time.Millisecond, tokens: map[string]*tokenRequest{},
		pairs: map[string]bool{fakeetrusted.DefaultClientID + "/" + fakeetrusted.DefaultClientSecret: true},
	}
}

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
	request := &tokenRequest{at: time.Now(), client: form.Get("client_id"), pair: form.Get("client_id") + "/" + form.Get("client_secret")}
	l.mu.Lock()
	delay, hasOwnFault := l.delay, fault == ""
	if hasOwnFault {
		fault = l.fault
		l.inFlight++
		request.inFlight = l.inFlight
		l.requests = append(l.requests, request)
	}
	l.mu.Unlock()
	switch fault {
	case disconnected:
		return nil, errors.New(fault)
	case hangs:
		delay = time.Hour
	}
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		fault, err = hangs, r.Context().Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if request.ended = time.Now(); hasOwnFault {
		l.inFlight--
		if fault != hangs && l.fault != hangs { // an answer depends on the time at which it is made
			fault = l.fault
		}
	}
	if fault == "" && !l.pairs[request.pair] {
		fault = rejects
	}
	request.outcome = fault
	switch fault {
	case hangs, breaks:
		return nil, cmp.Or(err, io.ErrUnexpectedEOF)
	case rejects:
		return answer(http.StatusUnauthorized, `{"error":"invalid_client"}`), nil
	case "":
		return l.issue(request), nil
	}
	status, err := strconv.Atoi(fault)
	response := answer(status, "<html>")
	response.Header = l.header
	return response, err
}

func (l *login) issue(request *tokenRequest) *http.Response {
	now := time.Now().Truncate(time.Second)
	if !l.caches || !l.isValid(l.last) {
		claims := fmt.Appendf(nil, `{"nbf":%d,"jti":%d}`, now.Add(l.notBefore).Unix(), len(l.tokens))
		l.last = "Bearer e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2ln"
		request.lifetime = l.lifetime
		l.tokens[l.last] = request
	}
	response := answer(http.StatusOK, fmt.Sprintf(`{"access_token":%q,"expires_in":%d}`, l.last[len("Bearer "):], int(l.lifetime.Seconds())))
	response.Header.Set("Date", now.UTC().Format(http.TimeFormat))
	return response
}

// isValid reports whether the API would accept a token. The caller must hold the mutex.
func (l *login) isValid(authorization string) bool {
	issued := l.tokens[authorization]
	return issued != nil && time.Now().Before(issued.ended.Add(issued.lifetime))
}

func (l *login) alive(authorization string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isValid(authorization)
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

// all returns copies of all requests.
func (l *login) all() (all []tokenRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, request := range l.requests {
		all = append(all, *request)
	}
	return all
}

func (l *login) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.requests)
}

// countOf returns the number of requests with a client ID.
func (l *login) countOf(client string) (n int) {
	for _, request := range l.all() {
		if request.client == client {
			n++
		}
	}
	return n
}

// busiest returns the greatest number of requests within a window, from the first-th request on.
func (l *login) busiest(window time.Duration, first int) (most int) {
	requests, oldest := l.all(), first
	for i := first; i < len(requests); i++ {
		for requests[i].at.Sub(requests[oldest].at) >= window {
			oldest++
		}
		most = max(most, i-oldest+1)
	}
	return most
}

// path is a broker's own network path to the login server.
type path struct {
	*login
	mu        sync.Mutex
	fault     string
	attempted int // all requests, including those that did not reach it
	closed    int // how often idle connections were closed, so that the next request is on a new one
}

func (p *path) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.attempted++
	fault := p.fault
	p.mu.Unlock()
	return p.serve(r, fault)
}

func (p *path) CloseIdleConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed++
}

func (p *path) set(fault string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// counts returns how many requests were attempted, and how often idle connections were closed.
func (p *path) counts() (attempted, closed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attempted, p.closed
}
