package proxy

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// exchange is a request of the app and its response. It is used by the goroutine of the request, and reused for other requests.
type exchange struct {
	proxy  *Proxy
	w      *http1.ResponseWriter
	r      *http1.Request
	began  time.Time
	record RequestRecord

	route  parsedRoute
	caller *access.Caller // nil if it is unknown, or needs no credentials
	tokens TokenSource
	// addressed is the API that the app has addressed by its name: see access.Decision. It is empty for the account's own.
	addressed string
	upstream  *upstream // that of the token; nil before there is one
	links     linkRewriter
	body      requestBody

	request     http1.ClientRequest // to the API
	fields      http1.Fields        // of request; reused
	generatedID string              // for X-Request-Id; empty if the app has sent one
	sentToken   string              // with request; empty if it has none of the broker's

	response     *http1.ClientResponse
	responseDrop connectionFieldNames
	rewritten    bool // the links in response are rewritten
}

var exchangePool = sync.Pool{New: func() any { return new(exchange) }}

// newExchange begins an exchange. It must be ended.
func (p *Proxy) newExchange(w *http1.ResponseWriter, r *http1.Request) *exchange {
	x := exchangePool.Get().(*exchange)
	x.proxy, x.w, x.r, x.began = p, w, r, time.Now()
	x.record = RequestRecord{Method: r.Method, Path: recordedPath(r.Target), TraceID: traceID(r.Fields)}
	x.record.RequestID, x.generatedID = p.requestID(r.Fields)
	x.body = requestBody{from: r, drop: fieldsNamedInConnection(r.Fields), limit: p.config.RetryBuffer}
	return x
}

// end completes the response and reports the record. After a panic, the exchange is not reused: a goroutine may still be sending
// the body.
func (x *exchange) end() {
	reason := recover()
	if reason == nil && !x.w.Finish() && x.record.Status != StatusClientClosedRequest {
		x.record.Broken = true
	}
	if x.caller != nil {
		x.record.Caller = x.caller.Name
	}
	x.record.Duration = time.Since(x.began)
	x.proxy.config.OnRequestEnd(x.record)
	if reason != nil {
		panic(reason)
	}
	x.body.release()
	*x = exchange{fields: x.fields.Reuse()}
	exchangePool.Put(x)
}

// respond sends a problem, and records it.
func (x *exchange) respond(p *problem.Problem) {
	x.record.Status, x.record.ProxyError, x.record.Problem, x.record.Denied = p.Status, p.ProxyError, p, access.DenialReason(p.DenialReason)
	if p == errClientClosed {
		x.w.Abort() // a client that has only stopped to write must not believe that it was answered
		return
	}
	if p.Close || x.body.unfinished() {
		x.w.Close = true
	}
	fields, body := p.Response()
	x.w.Fields = x.w.Fields[:0]
	for _, field := range fields {
		x.w.Fields.Add(field.Name, field.Value)
	}
	x.writeResponse(p.Status, body)
}

// writeResponse sends a response that the broker has made itself.
func (x *exchange) writeResponse(status int, body []byte) {
	x.w.WriteHead(status, http.StatusText(status), int64(len(body)))
	if n, _ := x.w.Write(body); x.r.Method != http.MethodHead { // if it fails, the client has gone
		x.record.Bytes += int64(n)
	}
}

// recordedPath returns the path of a request target, percent-encoded where that was omitted: RFC 3986 section 3.3.
func recordedPath(target string) string {
	if scheme, rest, isURL := strings.Cut(target, "://"); isURL && !strings.Contains(scheme, "/") {
		_, target = cutBeforePath(rest)
	}
	path, _, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") && path != "*" {
		return "" // the target of a CONNECT, or none
	}
	if !strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"#<>[\\]^`{|}", c) }) {
		return path
	}
	decoded, _ := url.PathUnescape(path) // http1 has checked it
	return (&url.URL{Path: decoded, RawPath: path}).EscapedPath()
}
