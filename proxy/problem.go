package proxy

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"etrusted-broker/internal/neterr"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/wire"
)

// problem is a response that the broker makes itself: problem details of RFC 9457 with the Proxy-Status of RFC 9209,
// by which an app or a person can tell it from what the API said. None of its texts may hold a secret, a token, or
// anything that a server sent.
type problem struct {
	status    int
	name      string // the last part of the type's URN, to tell problems of one status apart
	title     string
	errorType string // RFC 9209 section 2.3
	what      string // what happened
	advice    string // what to do about it, in whole sentences
	// retryAfter is zero where there is nothing to wait for.
	retryAfter time.Duration
	header     http.Header // more to be sent
	// denied is why the request was not let in; empty if it was.
	denied access.Reason
}

// proxyName is the name by which the broker goes in Via and Proxy-Status.
const proxyName = "etrusted-broker"

// clientGone is for a client that went away. What it could not be told is told by the connection's end.
var clientGone = &problem{status: StatusClientClosedRequest}

var loopDetected = &problem{
	status:    http.StatusLoopDetected,
	name:      "loop",
	title:     "The request has been here before",
	errorType: "proxy_loop_detected",
	what:      "the request has already passed through a broker",
	advice:    "Check that ETRUSTED_API_URL leads to the API, and not to this broker or another.",
}

var badTarget = &problem{
	status:    http.StatusBadRequest,
	name:      "target",
	title:     "The request's target is not valid",
	errorType: "http_request_error",
	what:      "the request's target cannot be sent on as it is",
	advice:    "Send a path that begins with one slash, percent-encoded as RFC 3986 asks, or an http or https URL without a user.",
}

var brokenBody = &problem{
	status:    http.StatusBadRequest,
	name:      "body",
	title:     "The request's body is broken",
	errorType: "http_request_error",
	what:      "the request's body is not well formed, or ended too early",
	advice:    "Send as many bytes as Content-Length says, or chunks as in RFC 9112 section 7.1.",
}

var unknownAccount = &problem{
	status:    http.StatusNotFound,
	name:      "unknown-account",
	title:     "There is no such account",
	errorType: "http_request_error",
	what:      "the account in /@NAME/ or in the placeholder token does not exist",
	advice:    "Use the name of a directory in ETRUSTED_ACCOUNTS_DIR, or omit /@NAME for the default account. An app with an old placeholder token must fetch a new one.",
}

var noDefaultAccount = &problem{
	status:    http.StatusNotFound,
	name:      "no-default-account",
	title:     "There is no default account",
	errorType: "http_request_error",
	what:      "the request names no account, and there is no default account",
	advice:    "Choose one with /@NAME/ in front of the path, or set ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_SECRET.",
}

func refused(refusal *access.Refusal) *problem {
	return &problem{
		status:    refusal.Status,
		name:      "refused-" + string(refusal.Reason),
		title:     "The broker refused the request",
		errorType: "http_request_denied",
		what:      refusal.What,
		advice:    refusal.Advice,
		header:    refusal.Header,
		denied:    refusal.Reason,
	}
}

func malformed(fault *wire.Fault) *problem {
	return &problem{
		status:    fault.Status,
		name:      "refused-" + string(access.ReasonMalformed),
		title:     "The request is malformed",
		errorType: "http_request_error",
		what:      fault.What,
		advice:    fault.Advice,
		denied:    access.ReasonMalformed,
	}
}

func upstreamFailed(host string, err error) *problem {
	fault := neterr.Describe(err)
	p := &problem{
		status:    http.StatusBadGateway,
		name:      "upstream-failed",
		title:     "The API could not be reached",
		errorType: string(fault.Kind),
		what:      "the API at " + host + " " + fault.Message,
		advice:    fault.Advice,
	}
	if fault.Kind.Timeout() {
		p.status, p.name, p.title = http.StatusGatewayTimeout, "upstream-timeout", "The API did not answer in time"
	}
	return p
}

// answer sends the problem.
func (p *problem) answer(w http.ResponseWriter, report *RequestRecord) {
	report.Status, report.Problem, report.Denied = p.status, p.errorType, p.denied
	if p == clientGone {
		panic(http.ErrAbortHandler) // returning would be a 200, and a client that has only stopped to write would believe it
	}
	body := p.body()
	header := w.Header()
	for name, values := range p.header {
		header[name] = values
	}
	header.Set("Content-Type", "application/problem+json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Proxy-Status", proxyName+"; error="+p.errorType+"; details="+structuredString(p.what))
	if p.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	w.WriteHeader(p.status)
	report.countBody(w.Write(body)) //nolint:gosec // G705: it is JSON, of our own texts.
}

// body is the problem as the JSON of RFC 9457 section 3.
func (p *problem) body() []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // it is read by people, as JSON and not inside a page
	err := encoder.Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"urn:etrusted-broker:problem:" + p.name, p.title, p.status, sentence(p.what) + " " + p.advice})
	if err != nil {
		panic(err) // of three strings and a number
	}
	return body.Bytes()
}

// sentence makes a sentence of a text that is lower case as Go's errors are.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// structuredString writes text as a string of RFC 8941 section 3.3.3, which has printable ASCII alone.
func structuredString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r > 0x7e:
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
