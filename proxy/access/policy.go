// Package access decides whether a request may come in: only the app next door gets in, and no web page in a browser on
// the same machine, with nothing to configure.
package access

import (
	"context"
	"net/http"
	"strings"
)

// Reason is why a request was refused: a closed set, used as the label of a metric.
type Reason string

// The reasons for a refusal.
const (
	ReasonHost        Reason = "host"        // the Host is not one of ours: DNS rebinding, or a name to be allowed
	ReasonBrowser     Reason = "browser"     // a web page sent it
	ReasonMethod      Reason = "method"      // CONNECT, TRACE
	ReasonUpgrade     Reason = "upgrade"     // another protocol is asked for
	ReasonTarget      Reason = "target"      // absolute-form to a host that is not ours
	ReasonPath        Reason = "path"        // dot segments, backslashes, control characters
	ReasonKey         Reason = "key"         // the access key is missing or wrong
	ReasonCertificate Reason = "certificate" // the client certificate has expired, or its authority was removed
	ReasonRule        Reason = "rule"        // the rules do not allow this method and path
	ReasonMalformed   Reason = "malformed"   // it is not HTTP as RFC 9112 has it: see package wire
	ReasonConnections Reason = "connections" // a connection was closed to make room for another: see package wire
)

// Reasons lists all of them.
var Reasons = [...]Reason{ReasonHost, ReasonBrowser, ReasonMethod, ReasonUpgrade, ReasonTarget, ReasonPath, ReasonKey, ReasonCertificate, ReasonRule, ReasonMalformed, ReasonConnections}

// Refusal is what the sender of a refused request is told. It holds nothing that the request brought.
type Refusal struct {
	Reason Reason
	Status int
	What   string // what happened, lower case, without a full stop
	Advice string // what to do about it, in whole sentences
	Header http.Header
}

// Config tells what a Door lets in.
type Config struct {
	// Hosts are the names by which the broker may be addressed.
	Hosts *Hosts
	// UpstreamHost and Login are the hosts of the API and of the login server, each with its port if it has one, which an
	// absolute-form target may name.
	UpstreamHost, LoginHost string
	// TunnelAllowed reports whether CONNECT may open a tunnel to a target; nil if it may to none.
	TunnelAllowed func(target string) bool
	// ClientTrusted reports whether the client certificate of a request's connection is trusted now, given the request's
	// context; nil if clients need none.
	ClientTrusted func(context.Context) bool
	// Keys has the access keys of which a request must show one; nil if it need not.
	Keys *Keys
	// KeyFromToken takes the key out of a bearer token; nil if the token is the key.
	KeyFromToken func(token string) string
	// Rules has the methods and paths that may be used; nil for all.
	Rules *Rules
}

// Policy checks requests. Create it with New. All methods may be called from any goroutine.
type Policy struct {
	config Config
}

// New returns a Door.
func New(config Config) *Policy {
	if config.KeyFromToken == nil {
		config.KeyFromToken = func(token string) string { return token }
	}
	return &Policy{config}
}

// Check returns why a request may not come in, whatever it asks for, or nil if it may. CONNECT is for CheckConnect. What it
// asks for is looked at by CheckTarget, whether it may by CheckKey and CheckRules, in this order.
func (d *Policy) Check(r *http.Request) *Refusal {
	tunnel, tunnelled := tunnelOf(r)
	switch {
	case d.distrustsClient(r):
		return certificateRefused
	case isRefused(r.Method):
		return methodRefused
	case tunnelled && !sameHost(r.Host, tunnel.host):
		return hostRefused
	case !tunnelled && r.URL.Host != "" && !d.targetAllowed(r):
		return targetRefused
	case !tunnelled && r.URL.Host == "" && !d.config.Hosts.Allowed(r):
		return hostRefused
	case IsBrowserRequest(r.Header), forDocument(r.Header):
		return browserRefused
	case asksForUpgrade(r.Header):
		return upgradeRefused
	default:
		return nil
	}
}

// CheckRules returns a refusal for a request whose method and target the rules do not allow, or nil. The target is as the
// app sent it, without the account, and has passed CheckTarget.
func (d *Policy) CheckRules(r *http.Request, target string) *Refusal {
	switch {
	case d.config.Rules == nil:
		return nil
	case !d.config.Rules.Allowed(r.Method, target):
		return ruleRefused
	case overrides(r.Header):
		return overrideRefused
	default:
		return nil
	}
}

// isRefused reports whether a method is CONNECT or TRACE, or what some servers take for TRACE. Methods are case-sensitive
// (RFC 9110 section 9.1), but a server that does not know it would send the token back all the same.
func isRefused(method string) bool {
	return strings.EqualFold(method, http.MethodConnect) || strings.EqualFold(method, http.MethodTrace) || strings.EqualFold(method, "TRACK")
}

// targetAllowed reports whether an absolute-form target (RFC 9112 section 3.2.2) names the upstream or this broker.
// net/http has put the target's host into r.Host.
func (d *Policy) targetAllowed(r *http.Request) bool {
	return sameHost(r.Host, d.config.UpstreamHost) || sameHost(r.Host, d.config.LoginHost) || d.config.Hosts.Allowed(r)
}

// IsBrowserRequest reports whether the headers are those of a request that a web page can have caused. A browser sends Origin
// with every request that may change something, and Sec-Fetch-Site with every request to a loopback address. Its value is
// "none" if the user caused the request, but also if the browser acted by itself on what a page or its server said:
//
//   - It fetches a page before the user opens it (speculation rules, links). Such a request says that it is a prefetch.
//   - It fetches the issuer of an untrusted certificate, from the URL in that certificate. Such a request is not a
//     navigation. Windows and macOS may fetch the issuer themselves, without any Sec-Fetch header.
//
// Other clients do not send these headers, with one exception: Node's fetch sends Sec-Fetch-Mode without Sec-Fetch-Site.
func IsBrowserRequest(header http.Header) bool {
	if len(header["Origin"]) > 0 || isPrefetch(header) || fetchesCertificate(header) {
		return true
	}
	for _, site := range header["Sec-Fetch-Site"] {
		if site != "same-origin" && (site != "none" || !navigates(header)) {
			return true
		}
	}
	return false
}

// navigates reports whether a request opens a document. Browsers have sent Sec-Fetch-Mode as long as Sec-Fetch-Site, but
// a program that imitates one may leave it out.
func navigates(header http.Header) bool {
	for _, mode := range header["Sec-Fetch-Mode"] {
		if mode != "navigate" {
			return false
		}
	}
	return true
}

// isPrefetch reports whether a browser sends a request before the user asks for it. The Fetch
// standard knows no other use of Sec-Purpose. Purpose and X-Moz are its predecessors, and may have other values.
func isPrefetch(header http.Header) bool {
	return len(header["Sec-Purpose"]) > 0 || listsPrefetch(header["Purpose"]) || listsPrefetch(header["X-Moz"])
}

// listsPrefetch reports whether lines of a header list the token prefetch, with or without parameters.
func listsPrefetch(lines []string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			token, _, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(token), "prefetch") {
				return true
			}
		}
	}
	return false
}

// fetchesCertificate reports whether a request comes from the part of Windows or macOS that fetches the issuer of a
// certificate. A server that a page names chooses the URL, and these send no header of a browser.
func fetchesCertificate(header http.Header) bool {
	agent := header.Get("User-Agent")
	return strings.HasPrefix(agent, "Microsoft-CryptoAPI/") || strings.HasPrefix(agent, "com.apple.trustd/")
}

// forDocument reports whether a browser wants something to go with a document that it got from this origin. The API has no
// documents; but when a foreign page opens a window on the broker's address, the browser shows the refusal as one, and asks
// for its icon, as same-origin. That would be a request that a foreign page has caused.
func forDocument(header http.Header) bool {
	return header.Get("Sec-Fetch-Site") == "same-origin" && header.Get("Sec-Fetch-Mode") == "no-cors"
}

// asksForUpgrade reports whether a request asks for another protocol (RFC 9110 section 7.8). Upgrade never goes upstream,
// so this only tells whoever asks, early and clearly.
//
// Java's HttpClient offers h2c with every first request to an http: address, and a server may ignore the offer, as this
// one then does: refused, most Java programs would not get in at all.
func asksForUpgrade(header http.Header) bool {
	lines := header["Upgrade"]
	if len(lines) == 0 {
		return false
	}
	java := strings.HasPrefix(header.Get("User-Agent"), "Java-http-client/")
	for _, line := range lines {
		for protocol := range strings.SplitSeq(line, ",") {
			if !java || !strings.EqualFold(strings.TrimSpace(protocol), "h2c") {
				return true
			}
		}
	}
	return false
}

var methodRefused = &Refusal{
	Reason: ReasonMethod,
	Status: http.StatusMethodNotAllowed,
	What:   "the methods CONNECT and TRACE are not served",
	Advice: "Use the broker as the API's base URL. TRACE would send the token back to its sender.",
	Header: http.Header{"Allow": {"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}},
}

var targetRefused = &Refusal{
	Reason: ReasonTarget,
	Status: http.StatusForbidden,
	What:   "the request is for another host than the API's",
	Advice: "The broker is no general proxy: ask it for the API's host, or for a path alone.",
}

var hostRefused = &Refusal{
	Reason: ReasonHost,
	Status: http.StatusMisdirectedRequest,
	What:   "the request's Host is not one that the broker goes by",
	Advice: "Address the broker as localhost, or name the host in BROKER_ALLOWED_HOSTS.",
}

var browserRefused = &Refusal{
	Reason: ReasonBrowser,
	Status: http.StatusForbidden,
	What:   "the request comes from a web page in a browser",
	Advice: "Only programs may use the broker: call it from the server's side, without an Origin header.",
}

var upgradeRefused = &Refusal{
	Reason: ReasonUpgrade,
	Status: http.StatusForbidden,
	What:   "the request asks for another protocol",
	Advice: "Send it without the Upgrade header. A Java HttpClient with a User-Agent of its own does after .version(HttpClient.Version.HTTP_1_1).",
}
