package main

import (
	"bufio"
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// attack is what somebody sends over one connection, and what must come of it.
type attack struct {
	name, in string
	want     outcome
}

// outcome is what comes of an attack. Whatever it is, what reaches the API is well formed, has the one token, and is for
// the API's host: see tape.
type outcome struct {
	status int      // of the first answer
	hits   []string // what reaches the API: methods and targets, in order
	open   bool     // the connection can be used again, and both sides agree on where the next request begins
	reason string   // by which the refusal is counted; empty for none
	bare   bool     // it is net/http that refuses, and does not say whose answer it is
}

func (o outcome) closing() outcome { o.open = false; return o }

// served is for what reaches the API, which answers with 200.
func served(hits ...string) outcome { return outcome{status: 200, hits: hits, open: true} }

// refused is for what the door turns away.
func refused(status int, reason string) outcome {
	return outcome{status: status, reason: reason, open: true}
}

// malformed is for what is no request.
func malformed(status int) outcome { return outcome{status: status, reason: "malformed"} }

// brokenOff is for a request whose body turns out to be none.
var brokenOff = outcome{status: 400}

// unsaid is for the little that net/http finds before the broker does.
func unsaid(status int) outcome { return outcome{status: status, bare: true} }

// to is a GET for a host.
func to(host string, more ...string) string {
	return "GET /x HTTP/1.1\r\nHost: " + host + "\r\n" + brokertest.HeaderLines(more...) + "\r\n"
}

// campaign is a broker and what is tried on it.
type campaign struct {
	name    string
	environ []string
	attacks []attack
}

func TestAttacks(t *testing.T) {
	t.Parallel()
	files := newTLSFiles(t)
	files.writePair(t, brokertest.NewCA(t, "servers"), "broker", time.Hour)
	for _, campaign := range []campaign{
		{"browsers", nil, browserAttacks},
		{"targets", nil, targetAttacks},
		{"rules", []string{"BROKER_ALLOW=GET /channels, GET /reviews/{id}, POST /events, GET /open/, GET /after, DELETE /reviews/{id}/veto"}, ruleAttacks},
		{"read-only", []string{"BROKER_ALLOW=READ-ONLY"}, readOnlyAttacks},
		{"key", []string{"BROKER_ACCESS_KEY=" + attackedKey}, keyAttacks},
		{"smuggling", nil, smugglingAttacks},
		{"smuggling over TLS", []string{"BROKER_TLS_CERT_FILE=" + files.cert, "BROKER_TLS_KEY_FILE=" + files.key}, smugglingAttacks},
		{"chunks", nil, chunkAttacks},
		{"headers", nil, headerAttacks},
	} {
		t.Run(campaign.name, func(t *testing.T) {
			t.Parallel()
			a := startAttacked(t, campaign.environ...)
			a.tls = strings.HasPrefix(strings.Join(campaign.environ, ""), "BROKER_TLS")
			names := map[string]bool{}
			for _, attack := range campaign.attacks {
				if names[attack.name] {
					t.Errorf("two rows are called %q", attack.name)
				}
				names[attack.name] = true
				t.Run(attack.name, func(t *testing.T) { a.suffer(t, attack) })
			}
		})
	}
}

// attacked is a broker between whoever attacks and a tape.
type attacked struct {
	*brokertest.Broker
	tape    *tape
	login   *fakeetrusted.Server
	tls     bool
	refusal map[string]string // what the metric was at last, by reason
}

// attackedKey is an access key that must not be seen upstream.
const attackedKey = "CANARY-access-key-0123456789"

// startAttacked has two accounts: the default one, and shop.
func startAttacked(t *testing.T, environ ...string) *attacked {
	t.Helper()
	a := &attacked{login: fakeetrusted.New(fakeetrusted.Options{})}
	a.login.SetClient("id-shop", "secret-shop")
	dir := filepath.Join(t.TempDir(), "accounts")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	addAccount(t, dir, "shop", "id-shop", "secret-shop")
	a.tape = startTape(t, a.login.Tokens)
	a.Broker = startBroker(t, nil, append(brokertest.Environ(brokertest.Serve(t, a.login), "ETRUSTED_API_URL="+a.tape.url(), "ETRUSTED_ACCOUNTS_DIR="+dir), environ...))
	a.WaitReady()
	brokertest.Eventually(t, "both accounts have a token", func() bool { return len(a.login.Tokens()) == 2 })
	a.refusal = a.refusals(t)
	return a
}

var refusalSeries = regexp.MustCompile(`(?m)^etrusted_broker_requests_denied_total{reason="(\w+)"} (\d+)$`)

func (a *attacked) refusals(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, match := range refusalSeries.FindAllStringSubmatch(brokertest.Get(t, a.Admin+"/metrics").Body, -1) {
		found[match[1]] = match[2]
	}
	return found
}

// refusedBy returns the reasons of which there have been more since the last call.
func (a *attacked) refusedBy(t *testing.T) (reasons []string) {
	t.Helper()
	now := a.refusals(t)
	for reason, count := range now {
		if a.refusal[reason] != count {
			reasons = append(reasons, reason)
		}
	}
	a.refusal = now
	return reasons
}

func (a *attacked) attacker(t *testing.T) *brokertest.RawConn {
	t.Helper()
	c := brokertest.DialRaw(t, strings.TrimPrefix(a.URL, "http://"))
	if a.tls {
		over := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}) // what it shows is not the point
		c.Conn, c.Reader = over, bufio.NewReader(io.TeeReader(over, &c.Seen))
	}
	return c
}

// after is a request that shows whether both sides agree on where the one before it has ended.
const after = "GET /after HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + attackedKey + "\r\n\r\n"

func (a *attacked) suffer(t *testing.T, attack attack) {
	t.Helper()
	want := attack.want
	c := a.attacker(t)
	method, _, _ := strings.Cut(attack.in, " ")
	c.Send(attack.in)
	first := c.Next(method)
	if first.Err != nil || first.Status != want.status {
		t.Errorf("%d %v, want %d; %q", first.Status, first.Err, want.status, c.Seen.String())
	}
	if want.open {
		a.goesOn(t, c)
	} else {
		if err := c.SetReadDeadline(time.Now().Add(brokertest.Timeout / 10)); err != nil { // well before the header time-out
			t.Fatal(err)
		}
		c.Rest(t)
	}

	hits := a.tape.take()
	for _, fault := range a.tape.found() {
		t.Error(fault)
	}
	var came []string
	for _, hit := range hits {
		if hit.target != "/after" {
			came = append(came, hit.method+" "+hit.target)
		}
		if strings.Contains(hit.raw, "CANARY") {
			t.Errorf("the app's own went upstream: %q", hit.raw)
		}
	}
	if !slices.Equal(came, want.hits) {
		t.Errorf("the API got %q, want %q", came, want.hits)
	}
	var reasons []string
	if want.reason != "" {
		reasons = []string{want.reason}
	}
	if got := a.refusedBy(t); !slices.Equal(got, reasons) {
		t.Errorf("counted as %q, want %q", got, reasons)
	}
	a.wellSaid(t, want, first, c.Seen.String())
}

// goesOn fails the test unless the connection can be used for another request, after as many as have come together.
func (a *attacked) goesOn(t *testing.T, c *brokertest.RawConn) {
	t.Helper()
	c.Send(after)
	for {
		got := c.Next("GET")
		if got.Err != nil {
			t.Errorf("the connection cannot be used again: %v; %q", got.Err, c.Seen.String())
			return
		}
		if got.Body == "GET /after" {
			return
		}
	}
}

// wellSaid fails the test unless the answer tells whose it is, and tells no more than it may.
func (a *attacked) wellSaid(t *testing.T, want outcome, first brokertest.Response, seen string) {
	t.Helper()
	if ours := first.Header["Proxy-Status"] != nil; first.Header["From-Tape"] == nil && ours == want.bare {
		t.Errorf("says that it is the broker's: %v, in %q", ours, seen)
	}
	for name := range first.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("what the API allows to web pages is passed on: %s", name)
		}
	}
	for _, secret := range append(a.login.Tokens(), "CANARY") {
		if strings.Contains(seen, secret) {
			t.Errorf("a secret is in the answer %q", seen)
		}
	}
}
