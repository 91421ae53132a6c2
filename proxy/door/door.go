// Package door decides whether a request may come in: only the app next door gets in, and no web page in a browser on
// the same machine, with nothing to configure.
package door

import (
	"net/http"
	"strings"
)

// Reason is why a request was refused: a closed set, used as the label of a metric.
type Reason string

// The reasons for a refusal.
const (
	Host    Reason = "host"    // the Host is not one of ours: DNS rebinding, or a name to be allowed
	Browser Reason = "browser" // a web page sent it
	Method  Reason = "method"  // CONNECT, TRACE
	Upgrade Reason = "upgrade" // another protocol is asked for
	Target  Reason = "target"  // absolute-form to a host that is not ours
)

// Reasons lists all of them.
var Reasons = [...]Reason{Host, Browser, Method, Upgrade, Target}

// Refusal is what the sender of a refused request is told. It holds nothing that the request brought.
type Refusal struct {
	Reason Reason
	Status int
	What   string // what happened, lower case, without a full stop
	Advice string // what to do about it, in whole sentences
	Header http.Header
}

// Door checks requests. Create it with New. All methods may be called from any goroutine.
type Door struct {
	hosts    *Hosts
	upstream string
}

// New returns a Door that lets requests in that bear one of hosts, or in absolute-form that of the upstream.
func New(hosts *Hosts, upstreamHost string) *Door {
	return &Door{hosts: hosts, upstream: strings.ToLower(upstreamHost)}
}

// Check returns why a request may not come in, or nil if it may.
func (d *Door) Check(r *http.Request) *Refusal {
	switch {
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace:
		return methodRefused
	case r.URL.Host != "" && !d.mayBeTarget(r):
		return targetRefused
	case r.URL.Host == "" && !d.hosts.Allow(r):
		return hostRefused
	case FromPage(r.Header):
		return browserRefused
	case asksForUpgrade(r.Header):
		return upgradeRefused
	default:
		return nil
	}
}

// mayBeTarget reports whether an absolute-form target (RFC 9112 section 3.2.2) names the upstream or this broker.
// net/http has put the target's host into r.Host.
func (d *Door) mayBeTarget(r *http.Request) bool {
	return strings.EqualFold(r.URL.Host, d.upstream) || d.hosts.Allow(r)
}

// FromPage reports whether the headers are those of a request that a web page had its browser send. A browser sends
// Origin with whatever may change something, and Sec-Fetch-Site with everything that goes to a loopback address. No
// other client sends either, with one exception: Node's fetch sends Sec-Fetch-Mode, which is not looked at.
func FromPage(header http.Header) bool {
	if len(header["Origin"]) > 0 {
		return true
	}
	for _, site := range header["Sec-Fetch-Site"] {
		if site != "none" && site != "same-origin" {
			return true
		}
	}
	return false
}

// asksForUpgrade reports whether a request asks for another protocol (RFC 9110 section 7.8). h2c does not count: Java's
// HttpClient offers it with every first request to an http: address, and a server may ignore the offer, as this one
// does. A WebSocket, on the other hand, cannot do without.
func asksForUpgrade(header http.Header) bool {
	for _, line := range header["Upgrade"] {
		for protocol := range strings.SplitSeq(line, ",") {
			if !strings.EqualFold(strings.TrimSpace(protocol), "h2c") {
				return true
			}
		}
	}
	return false
}

var methodRefused = &Refusal{
	Reason: Method,
	Status: http.StatusMethodNotAllowed,
	What:   "the methods CONNECT and TRACE are not served",
	Advice: "Use the broker as the API's base URL. TRACE would send the token back to its sender.",
	Header: http.Header{"Allow": {"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}},
}

var targetRefused = &Refusal{
	Reason: Target,
	Status: http.StatusForbidden,
	What:   "the request is for another host than the API's",
	Advice: "The broker is no general proxy: ask it for the API's host, or for a path alone.",
}

var hostRefused = &Refusal{
	Reason: Host,
	Status: http.StatusMisdirectedRequest,
	What:   "the request's Host is not one that the broker goes by",
	Advice: "Address the broker as localhost, or name the host in BROKER_ALLOWED_HOSTS.",
}

var browserRefused = &Refusal{
	Reason: Browser,
	Status: http.StatusForbidden,
	What:   "the request comes from a web page in a browser",
	Advice: "Only programs may use the broker: call it from the server's side, without an Origin header.",
}

var upgradeRefused = &Refusal{
	Reason: Upgrade,
	Status: http.StatusForbidden,
	What:   "the request asks for another protocol",
	Advice: "Send it without the Upgrade header.",
}
