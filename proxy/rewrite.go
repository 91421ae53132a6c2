package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"

	"etrusted-broker/proxy/linkrewrite"
)

// linkRewriter replaces the API's base URL in responses with the URL that the client used, so that a client that follows
// links comes back to the broker. A nil linkRewriter does nothing.
type linkRewriter struct {
	linkrewrite.Rewriter
	// coded is set if the app refuses responses without a content coding. Coded bodies are then forwarded unchanged,
	// since rewritten ones have none.
	coded bool
}

// newLinkRewriter returns the linkRewriter for a request; nil if there is nothing to rewrite.
func (p *Proxy) newLinkRewriter(r *http.Request, route parsedRoute) *linkRewriter {
	if !p.config.RewriteLinks {
		return nil
	}
	scheme := p.config.ExternalScheme
	switch {
	case route.tunnel != nil:
		scheme = "https"
	case route.absoluteForm:
		scheme = strings.ToLower(r.URL.Scheme)
	}
	to := scheme + "://" + r.Host + route.accountPrefix
	if to == p.base {
		return nil
	}
	return &linkRewriter{Rewriter: linkrewrite.NewBase(p.base).To(to)}
}

// maxBuffered is the longest body that is buffered, so that a body without links is forwarded unchanged. maxBufferedGzip is
// the same for gzip, which shortens JSON to about an eighth.
const (
	maxBuffered     = 64 << 10
	maxBufferedGzip = 16 << 10
)

// rewriteResponse rewrites the links in a response, in its own header map.
func (w *linkRewriter) rewriteResponse(method string, response *http.Response) {
	if w == nil {
		return
	}
	w.rewriteHeader(response.Header)
	if !isRewritten(method, response) {
		return
	}
	coding := strings.ToLower(strings.Join(response.Header["Content-Encoding"], ", "))
	zipped, limit := isGzip(coding), int64(maxBuffered)
	if zipped {
		limit = maxBufferedGzip
	}
	switch {
	case coding != "" && (!zipped || w.coded):
	case response.ContentLength >= 0 && response.ContentLength <= limit:
		w.rewriteBuffered(response, zipped)
	default:
		w.rewriteStream(response, response.Body, zipped)
	}
}

// rewriteHeader rewrites the URLs in fields: RFC 9110 sections 8.7 and 10.2.2, RFC 8288.
func (w *linkRewriter) rewriteHeader(header http.Header) {
	for _, name := range []string{"Location", "Content-Location"} {
		for i, value := range header[name] {
			header[name][i], _ = w.URL(value)
		}
	}
	for i, value := range header["Link"] {
		header["Link"][i], _ = w.LinkField(value)
	}
}

// isRewritten reports whether links are rewritten in the body of a response: JSON, and not a part of it.
func isRewritten(method string, response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusNoContent, http.StatusNotModified, http.StatusPartialContent:
		return false
	}
	if method == http.MethodHead || response.Body == http.NoBody {
		return false
	}
	return linkrewrite.IsJSON(response.Header.Get("Content-Type"))
}

func isGzip(coding string) bool { return coding == "gzip" || coding == "x-gzip" }

// rewriteStream rewrites body, which is the response's, while it is forwarded: it is too long to be buffered, or its length
// is unknown.
func (w *linkRewriter) rewriteStream(response *http.Response, body io.Reader, zipped bool) {
	if zipped {
		body = linkrewrite.NewGunzipReader(body)
	}
	response.Body = &rewrittenBody{w.NewReader(body), response.Body}
	response.ContentLength = -1
	delete(response.Header, "Content-Length")
	dropValidators(response.Header)
}

// rewriteBuffered reads a body and rewrites it if it contains a link. If it breaks off, what arrived is forwarded, and then
// breaks off too.
func (w *linkRewriter) rewriteBuffered(response *http.Response, zipped bool) {
	// ReadFrom grows the buffer if less than MinRead is free, even at the end of the body.
	read := bytes.NewBuffer(make([]byte, 0, response.ContentLength+bytes.MinRead))
	_, err := read.ReadFrom(response.Body)
	body := read.Bytes()
	if err != nil {
		w.rewriteStream(response, io.MultiReader(read, errReader{err}), zipped)
		return
	}
	text := body
	if zipped {
		plain, ok := linkrewrite.Gunzip(body)
		if !ok { // longer than it looks, or not gzip
			w.rewriteStream(response, bytes.NewReader(body), zipped)
			return
		}
		text = plain
	}
	rewritten, changed := w.JSON(text)
	if !changed {
		response.Body = &readBody{&eofReader{body}, response.Body}
		return
	}
	response.Body = &rewrittenBody{&eofReader{rewritten}, response.Body}
	response.ContentLength = int64(len(rewritten))
	response.Header["Content-Length"] = []string{strconv.Itoa(len(rewritten))}
	dropValidators(response.Header)
}

// dropValidators removes from a header what is true only of the upstream's bytes: a strong ETag becomes weak (RFC 9110 section
// 8.8.1), and digests and the content coding are removed, since rewritten bodies have none.
func dropValidators(header http.Header) {
	delete(header, "Content-Encoding")
	if tag := header.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		header.Set("Etag", "W/"+tag)
	}
	for name := range header {
		if linkrewrite.IsDigest(name) {
			delete(header, name)
		}
	}
	delete(header, "Accept-Ranges")
}

// eofReader reads from a buffer, and returns io.EOF together with the last bytes, as net/http does, so that relay does not flush
// them. An app that received them before its request has ended would send its next one into net/http's background read, which
// tears that request apart.
type eofReader struct{ rest []byte }

func (w *eofReader) Read(p []byte) (n int, err error) {
	n = copy(p, w.rest)
	if w.rest = w.rest[n:]; len(w.rest) == 0 {
		err = io.EOF
	}
	return n, err
}

// readBody is a body that was already read, but not closed.
type readBody struct {
	io.Reader
	io.Closer
}

// rewrittenBody is a body in which links may have been rewritten.
type rewrittenBody struct {
	io.Reader
	io.Closer
}

// errReader is a reader that only returns an error.
type errReader struct{ err error }

func (f errReader) Read([]byte) (int, error) { return 0, f.err }

// prepareRequest changes the fields of a request that would hide links in the response, or that refer to a rewritten
// response.
func (w *linkRewriter) prepareRequest(header http.Header) {
	if w == nil {
		return
	}
	if accepted := header["Accept-Encoding"]; len(accepted) > 0 {
		if narrow, ok := linkrewrite.NegotiateEncoding(strings.Join(accepted, ", ")); ok {
			header["Accept-Encoding"] = []string{narrow}
		} else {
			w.coded = true
		}
	}
	if tags := header["If-Match"]; len(tags) > 0 {
		// A weak tag never matches here (RFC 9110 section 13.1.1), and it may be dropValidators that has weakened it.
		header["If-Match"] = []string{strings.ReplaceAll(strings.Join(tags, ", "), `W/"`, `"`)}
	}
}
