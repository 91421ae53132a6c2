package main

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// attack is the bytes sent over one connection, and the required outcome.
type attack struct {
	name, request string
	want          outcome
}

// outcome is the expected result of an attack. recordingAPI checks in every case that what reaches the API is well formed, has
// exactly the broker's token, and names the API's host.
type outcome struct {
	status   int      // of the first response
	upstream []string // methods and targets that reach the API, in order
	reusable bool     // the connection can be reused: both sides agree on where the next request begins
	reason   string   // label of the requests_denied_total counter; empty if it does not change
}

// thenCloses returns the outcome with the connection closed after the first response.
func (o outcome) thenCloses() outcome { o.reusable = false; return o }

// forwarded is the outcome of requests that reach the API, which responds 200.
func forwarded(requests ...string) outcome {
	return outcome{status: 200, upstream: requests, reusable: true}
}

// denied is the outcome of a request that the access policy denies.
func denied(status int, reason string) outcome {
	return outcome{status: status, reason: reason, reusable: true}
}

// malformed is the outcome of a malformed request.
func malformed(status int) outcome { return outcome{status: status, reason: "malformed"} }

// malformedBody is the outcome of a well-formed header with a malformed body.
var malformedBody = outcome{status: 400}

// getWithHost returns a GET request with a Host header.
func getWithHost(host string, more ...string) string {
	return "GET /x HTTP/1.1\r\nHost: " + host + "\r\n" + brokertest.HeaderLines(more...) + "\r\n"
}

// attackTarget is a broker between the attacker and a recordingAPI.
type attackTarget struct {
	*brokertest.Broker
	api     *recordingAPI
	login   *fakeetrusted.Server
	tls     bool
	denials map[string]string // the denial counters at the last reading, by reason
}

// canaryKey is an access key that must not reach the API.
const canaryKey = "CANARY-access-key-0123456789"

// startAttackTarget starts a broker with two accounts: the default one, and shop.
func startAttackTarget(t *testing.T, environ ...string) *attackTarget {
	t.Helper()
	a := &attackTarget{login: fakeetrusted.New(fakeetrusted.Options{})}
	a.login.SetClient("id-shop", "secret-shop")
	dir := filepath.Join(t.TempDir(), "accounts")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	addAccount(t, dir, "shop", "id-shop", "secret-shop")
	a.api = startRecordingAPI(t, a.login.Tokens)
	a.Broker = startBroker(t, nil, append(brokertest.Environ(brokertest.Serve(t, a.login), "ETRUSTED_API_URL="+a.api.url(), "ETRUSTED_ACCOUNTS_DIR="+dir), environ...))
	a.WaitReady()
	brokertest.Eventually(t, "both accounts have a token", func() bool { return len(a.login.Tokens()) == 2 })
	a.denials = counters(t, a.Broker, "requests_denied_total", "reason")
	return a
}

// newDenials returns the reasons whose counters have changed since the last call.
func (a *attackTarget) newDenials(t *testing.T) (reasons []string) {
	t.Helper()
	current := counters(t, a.Broker, "requests_denied_total", "reason")
	for reason, count := range current {
		if a.denials[reason] != count {
			reasons = append(reasons, reason)
		}
	}
	a.denials = current
	return reasons
}

// dial connects to the broker, over TLS if it requires that.
func (a *attackTarget) dial(t *testing.T) *brokertest.RawConn {
	t.Helper()
	c := a.Dial(t)
	if a.tls {
		c.StartTLS(&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}) // the certificate is not under test
	}
	return c
}

// followUpRequest shows whether both sides agree on where the previous request ended.
const followUpRequest = "GET /after HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + canaryKey + "\r\n\r\n"

// run sends an attack and checks its outcome: the response, what reaches the API, and the denial counters.
func (a *attackTarget) run(t *testing.T, attack attack) {
	t.Helper()
	want := attack.want
	c := a.dial(t)
	first := c.RoundTrip(attack.request)
	if first.Err != nil || first.Status != want.status {
		t.Errorf("got status %d, %v, want %d: %q", first.Status, first.Err, want.status, c.Seen.String())
	}
	if want.reusable {
		a.checkReusable(t, c)
	} else {
		if err := c.SetReadDeadline(time.Now().Add(brokertest.Timeout / 10)); err != nil { // well before the header time-out
			t.Fatal(err)
		}
		c.Rest(t)
	}

	requests := a.api.takeRequests()
	for _, problem := range a.api.takeProblems() {
		t.Error(problem)
	}
	var upstream []string
	for _, request := range requests {
		if request.target != "/after" {
			upstream = append(upstream, request.method+" "+request.target)
		}
		if strings.Contains(request.raw, "CANARY") {
			t.Errorf("got a canary in a request to the API, want none: %q", request.raw)
		}
	}
	if !slices.Equal(upstream, want.upstream) {
		t.Errorf("got requests to the API %q, want %q", upstream, want.upstream)
	}
	var reasons []string
	if want.reason != "" {
		reasons = []string{want.reason}
	}
	if got := a.newDenials(t); !slices.Equal(got, reasons) {
		t.Errorf("got denial reasons %q, want %q", got, reasons)
	}
	a.checkResponse(t, want, first, c.Seen.String())
}

// runAll runs attacks one after the other.
func (a *attackTarget) runAll(t *testing.T, attacks []attack) {
	t.Helper()
	names := map[string]bool{}
	for _, attack := range attacks {
		if names[attack.name] {
			t.Errorf("duplicate attack name %q", attack.name)
		}
		names[attack.name] = true
		t.Run(attack.name, func(t *testing.T) { a.run(t, attack) })
	}
}

// checkReusable checks that the connection serves another request, after the responses to any pipelined ones.
func (a *attackTarget) checkReusable(t *testing.T, c *brokertest.RawConn) {
	t.Helper()
	c.Send(followUpRequest)
	for {
		got := c.Next("GET")
		if got.Err != nil {
			t.Errorf("the next request on the connection: got %v, want a response: %q", got.Err, c.Seen.String())
			return
		}
		if got.Body == "GET /after" {
			return
		}
	}
}

// checkResponse checks that the response says whether it is the broker's own, and contains nothing that it must not.
func (a *attackTarget) checkResponse(t *testing.T, want outcome, first brokertest.Response, seen string) {
	t.Helper()
	if ours := first.Header["Proxy-Status"] != nil; first.Header["From-Api"] == nil && !ours {
		t.Errorf("got no Proxy-Status, want it: %q", seen)
	}
	for name := range first.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("got response header %s, want no CORS headers", name)
		}
	}
	for _, secret := range append(a.login.Tokens(), "CANARY") {
		if strings.Contains(seen, secret) {
			t.Errorf("got a secret in the response, want none: %q", seen)
		}
	}
}
