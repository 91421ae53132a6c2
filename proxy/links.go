package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/linkrewrite"
)

// linkRewriter replaces the API's origin in a response with the URL that the client used. The zero value does nothing.
type linkRewriter struct {
	active   bool
	rewriter linkrewrite.Rewriter
	// encoding is what the API is asked for, so that links can be found. It is empty if the app refuses responses without a
	// content coding: coded bodies are then forwarded unchanged, since rewritten ones have none.
	encoding string
}

// newLinkRewriter returns the linkRewriter for a request to an API.
func (p *Proxy) newLinkRewriter(api *upstream, r *http1.Request, route *parsedRoute) linkRewriter {
	if api.links == nil || route.host == "" { // HTTP/1.0, or a Unix socket
		return linkRewriter{}
	}
	scheme := p.config.ExternalScheme
	switch {
	case route.Tunnel != nil && r.Secure:
		scheme = "https"
	case route.Tunnel != nil:
		scheme = "http"
	case route.absoluteScheme != "":
		scheme = route.absoluteScheme
	}
	to := scheme + "://" + route.host + route.accountPrefix
	if to == api.baseURL {
		return linkRewriter{}
	}
	accepted := ""
	for line := range r.Fields.Lines("Accept-Encoding") {
		if accepted != "" {
			line = accepted + ", " + line
		}
		accepted = line
	}
	return linkRewriter{active: true, rewriter: api.links.To(to), encoding: linkrewrite.UpstreamAcceptEncoding(accepted)}
}

// adaptRequestField changes a field that refers to a rewritten response. It reports false if the field must not be sent.
func (l *linkRewriter) adaptRequestField(field *http1.Field) bool {
	switch name := field.Name; {
	case http1.EqualFold(name, "Range"), http1.EqualFold(name, "If-Range"):
		return false // the API's bytes are not the app's
	case http1.EqualFold(name, "If-Match"):
		// A weak tag never matches here (RFC 9110 section 13.1.1), and adaptFieldsToRewrittenBody may have weakened it.
		field.Value = strings.ReplaceAll(field.Value, `W/"`, `"`)
	}
	return true
}

// rewrites reports whether the links in the body of a response are rewritten, which is so in JSON, but not in a part of it. If they
// are, gzipped reports whether the body is gzipped. The header of a response without a body, to HEAD or with 304, is that of one in
// which a link was rewritten.
func (l *linkRewriter) rewrites(response *http1.ClientResponse) (rewritten, gzipped bool) {
	if !l.active || response.Status == http.StatusNoContent || response.Status == http.StatusPartialContent {
		return false, false
	}
	fields := response.Fields
	if !linkrewrite.IsJSON(fields.Get("Content-Type")) && (response.Status != http.StatusNotModified || fields.Has("Content-Type")) {
		return false, false
	}
	coding := contentCoding(fields)
	gzipped = coding == "gzip" && l.encoding != ""
	return (coding == "" || gzipped) && !hasNoTransform(fields), gzipped
}

// hasNoTransform reports whether a response must not be changed: RFC 9111 section 5.2.2.6.
func hasNoTransform(fields http1.Fields) bool {
	for directive := range fields.Elements("Cache-Control") {
		if strings.EqualFold(directive, "no-transform") {
			return true
		}
	}
	return false
}

// registeredCodings are the content codings that IANA has registered, except identity.
var registeredCodings = []string{"gzip", "x-gzip", "br", "zstd", "deflate", "compress", "x-compress", "dcb", "dcz", "aes128gcm", "exi", "pack200-gzip"}

// contentCoding returns gzip, other, or an empty text without a coding. Unregistered names, such as charsets, are no codings.
func contentCoding(fields http1.Fields) (gzipOrOther string) {
	for element := range fields.Elements("Content-Encoding") {
		switch {
		case !containsFold(element, registeredCodings):
		case gzipOrOther == "" && (http1.EqualFold(element, "gzip") || http1.EqualFold(element, "x-gzip")):
			gzipOrOther = "gzip"
		default:
			gzipOrOther = "other"
		}
	}
	return gzipOrOther
}

// rewriteField rewrites the URLs in a field: RFC 9110 sections 8.7 and 10.2.2, RFC 8288.
func (l *linkRewriter) rewriteField(field *http1.Field) {
	switch name := field.Name; {
	case !l.active:
	case http1.EqualFold(name, "Location"), http1.EqualFold(name, "Content-Location"):
		field.Value, _ = l.rewriter.URL(field.Value)
	case http1.EqualFold(name, "Link"):
		field.Value, _ = l.rewriter.LinkField(field.Value)
	}
}

// adaptFieldsToRewrittenBody removes from a header what is true only of the API's bytes: a strong ETag becomes weak (RFC 9110
// section 8.8.1), and digests and the content coding are removed, since rewritten bodies have none.
func adaptFieldsToRewrittenBody(fields *http1.Fields) {
	fields.DeleteFunc(func(field http1.Field) bool {
		return http1.EqualFold(field.Name, "Content-Encoding") || http1.EqualFold(field.Name, "Accept-Ranges") || containsFold(field.Name, digestFields)
	})
	for i := range *fields {
		field := &(*fields)[i]
		if http1.EqualFold(field.Name, "ETag") && field.Value != "" && !strings.HasPrefix(field.Value, "W/") {
			field.Value = "W/" + field.Value
		}
	}
}

// maxBufferedGzipResponse is maxBufferedResponse for gzip, which shortens JSON to about an eighth.
const maxBufferedGzipResponse = 16 << 10

// relayRewritten forwards a response with rewritten links.
func (x *exchange) relayRewritten(gzipped bool) {
	limit := int64(maxBufferedResponse)
	if gzipped {
		limit = maxBufferedGzipResponse
	}
	length := x.response.ContentLength
	switch {
	case x.r.Method == http.MethodHead, x.response.Status == http.StatusNotModified:
		x.beginRewritten()
		x.finishResponse(0, nil)
	case length >= 0 && length <= limit:
		x.rewriteWhole(gzipped)
	case gzipped:
		x.gunzipStream(clientFlushingReader{x.w, x.response.Body})
	default:
		x.rewriteStream()
	}
}

// rewriteWhole reads a body, and forwards it unchanged if it contains no link. If it breaks off, the app gets a problem.
func (x *exchange) rewriteWhole(gzipped bool) {
	buffer := getBodyBuffer()
	defer putBodyBuffer(buffer)
	if _, err := buffer.ReadFrom(x.response.Body); err != nil {
		x.respond(x.upstreamFailure(err))
		return
	}
	body := buffer.Bytes()
	text := body
	if gzipped {
		var ok bool
		if text, ok = linkrewrite.GunzipSmall(body); !ok { // longer than it looks, or not gzip
			x.gunzipStream(bytes.NewReader(body))
			return
		}
	}
	if rewritten, changed := x.links.rewriter.JSON(text); changed {
		body = rewritten
		adaptFieldsToRewrittenBody(&x.w.Fields)
	}
	x.w.WriteHead(x.response.Status, x.response.Reason, int64(len(body)))
	n, err := x.w.Write(body)
	x.finishResponse(int64(n), err)
}

// beginRewritten sends the header of a response whose length is not known yet.
func (x *exchange) beginRewritten() {
	adaptFieldsToRewrittenBody(&x.w.Fields)
	x.w.WriteHead(x.response.Status, x.response.Reason, -1)
}

// rewriteStream rewrites a body while it is forwarded.
func (x *exchange) rewriteStream() {
	x.beginRewritten()
	x.finishResponse(x.w.ReadFrom(rewrittenBody{x.links.rewriter.NewReader(x.response.Body), x.response.Body}))
}

// rewrittenBody implements http1.ReadinessReader.
type rewrittenBody struct {
	*linkrewrite.Reader
	from http1.ReadinessReader
}

// ReadReady may be wrong once the last Read has filled its memory: then the response is flushed anyway.
func (b rewrittenBody) ReadReady() bool { return b.Pending() || b.from.ReadReady() }

// gunzipStream unzips and rewrites body, which is the response's, while it is forwarded.
func (x *exchange) gunzipStream(body io.Reader) {
	x.beginRewritten()
	unzipped := linkrewrite.NewLenientGunzipReader(body)
	defer func() { _ = unzipped.Close() }()
	const size = 16 << 10
	buffer := getBodyBuffer()
	defer putBodyBuffer(buffer)
	buffer.Grow(size)
	x.finishResponse(io.CopyBuffer(x.w, x.links.rewriter.NewReader(unzipped), buffer.AvailableBuffer()[:size]))
}

// clientFlushingReader flushes what was sent to the app before it waits for the API. A decoder that reads from it does not know
// whether it has to wait.
type clientFlushingReader struct {
	w    *http1.ResponseWriter
	from http1.ReadinessReader
}

func (f clientFlushingReader) Read(p []byte) (int, error) {
	if !f.from.ReadReady() {
		if err := f.w.Flush(); err != nil {
			return 0, err
		}
	}
	return f.from.Read(p)
}
