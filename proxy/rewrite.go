package proxy

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/linkrewrite"
)

// linkRewriter is from the upstream's address, as it stands in responses, to that by which the app has reached it. An app that
// follows a link as it is comes back here.
type linkRewriter struct {
	from, to string
	// coded is set if the app refuses responses without a content coding. Coded bodies are then forwarded unchanged,
	// since rewritten ones have none.
	coded bool
}

// newLinkRewriter returns the way for a request's response; nil if there is nothing to rewrite.
func (p *Proxy) newLinkRewriter(r *http.Request, a route) *linkRewriter {
	if !p.config.RewriteLinks {
		return nil
	}
	scheme := p.config.ExternalScheme
	switch {
	case access.Tunnelled(r):
		scheme = "https"
	case r.URL.Host != "": // the app takes the broker for its proxy
		scheme = strings.ToLower(r.URL.Scheme)
	}
	to := scheme + "://" + r.Host + a.accountPrefix
	if to == p.base {
		return nil
	}
	return &linkRewriter{from: p.base, to: to}
}

// maxBuffered is up to what length a body is read whole, so that one without a link can be left as it is. maxWholeGzip is the
// same for gzip, of which JSON needs about an eighth.
const (
	maxBuffered     = 64 << 10
	maxBufferedGzip = 16 << 10
)

// rewriteResponse rewrites what leads past the broker. The response's own header map is changed.
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

// rewriteHeader rewrites the URLs in headers: RFC 9110 sections 8.7 and 10.2.2, RFC 8288.
func (w *linkRewriter) rewriteHeader(header http.Header) {
	for _, name := range []string{"Location", "Content-Location"} {
		for i, value := range header[name] {
			header[name][i], _ = linkrewrite.ReplaceBase(value, w.from, w.to)
		}
	}
	for i, value := range header["Link"] {
		header["Link"][i], _ = linkrewrite.ReplaceInLinkHeader(value, w.from, w.to)
	}
}

// isRewritten reports whether a response has a body in which links are rewritten: JSON, and the whole of it.
func isRewritten(method string, response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusNoContent, http.StatusNotModified, http.StatusPartialContent:
		return false
	}
	if method == http.MethodHead || response.Body == http.NoBody {
		return false
	}
	return isJSON(response.Header.Get("Content-Type"))
}

// isJSON looks at a media type without its parameters: RFC 9110 section 8.3.1, RFC 8259, RFC 6839 section 3.1. What holds a
// space, a comma or a control character is none, but maybe two in one line, and its body goes on as it is.
func isJSON(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	kind = strings.ToLower(textproto.TrimString(kind))
	if strings.ContainsFunc(kind, func(c rune) bool { return c <= ' ' || c == ',' || c == 0x7f }) {
		return false
	}
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

func isGzip(coding string) bool { return coding == "gzip" || coding == "x-gzip" }

// rewriteStream has body, which is the response's, rewritten as it comes: it is too long to be known, or its length is not told.
func (w *linkRewriter) rewriteStream(response *http.Response, body io.Reader, zipped bool) {
	if zipped {
		body = newGunzipReader(body)
	}
	response.Body = &rewrittenBody{linkrewrite.NewReader(body, w.from, w.to), response.Body}
	response.ContentLength = -1
	delete(response.Header, "Content-Length")
	dropValidators(response.Header)
}

// rewriteBuffered reads a body and rewrites it if there is a link in it. If it cannot be read to its end, it goes on as far as it
// goes, and breaks off there.
func (w *linkRewriter) rewriteBuffered(response *http.Response, zipped bool) {
	// As much more as ReadFrom wants to see free, or it would make a larger one at the body's end.
	read := bytes.NewBuffer(make([]byte, 0, response.ContentLength+bytes.MinRead))
	_, err := read.ReadFrom(response.Body)
	body := read.Bytes()
	if err != nil {
		w.rewriteStream(response, io.MultiReader(read, errReader{err}), zipped)
		return
	}
	text := body
	if zipped {
		plain, ok := gunzip(body)
		if !ok { // longer than it looks, or not gzip
			w.rewriteStream(response, bytes.NewReader(body), zipped)
			return
		}
		text = plain
	}
	rewritten, changed := linkrewrite.JSON(text, w.from, w.to)
	if !changed {
		response.Body = &readBody{&eofReader{body}, response.Body}
		return
	}
	response.Body = &rewrittenBody{&eofReader{rewritten}, response.Body}
	response.ContentLength = int64(len(rewritten))
	response.Header["Content-Length"] = []string{strconv.Itoa(len(rewritten))}
	dropValidators(response.Header)
}

// dropValidators removes from a header what is only true of the upstream's bytes: a strong ETag becomes a weak one (RFC 9110
// section 8.8.1), digests go, and so does the coding, since rewritten bodies have none.
func dropValidators(header http.Header) {
	delete(header, "Content-Encoding")
	if tag := header.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		header.Set("Etag", "W/"+tag)
	}
	for name := range header {
		if isDigest(name) {
			delete(header, name)
		}
	}
	delete(header, "Accept-Ranges")
}

// isDigest reports whether a header vouches for a body's bytes: RFC 9530, and those before it.
func isDigest(name string) bool {
	switch name {
	case "Content-Md5", "Digest", "Content-Digest", "Repr-Digest":
		return true
	default:
		return false
	}
}

// eofReader reads from what is there as a whole. Its end comes with its last bytes, as it does from net/http, so that relay need
// not flush them for fear that there may be more: an app that has them before its request has ended sends its next one into
// the read that net/http has waiting in the background, which takes that apart.
type eofReader struct{ rest []byte }

func (w *eofReader) Read(p []byte) (n int, err error) {
	n = copy(p, w.rest)
	if w.rest = w.rest[n:]; len(w.rest) == 0 {
		err = io.EOF
	}
	return n, err
}

// readBody is a body that was read already, and still to be closed.
type readBody struct {
	io.Reader
	io.Closer
}

// rewrittenBody is one in which links may have been rewritten.
type rewrittenBody struct {
	io.Reader
	io.Closer
}

// errReader is a reader that gives nothing but an error.
type errReader struct{ err error }

func (f errReader) Read([]byte) (int, error) { return 0, f.err }

// prepareRequest changes in a request's headers what would keep links from being found in its response, and what only the
// rewritten response has.
func (w *linkRewriter) prepareRequest(header http.Header) {
	if w == nil {
		return
	}
	if accepted := header["Accept-Encoding"]; len(accepted) > 0 {
		if narrow, ok := negotiateEncoding(accepted); ok {
			header["Accept-Encoding"] = []string{narrow}
		} else {
			w.coded = true
		}
	}
	if tags := header["If-Match"]; len(tags) > 0 {
		// A weak tag never matches here (RFC 9110 section 13.1.1), and it may be weaken that has made it one.
		header["If-Match"] = []string{strings.ReplaceAll(strings.Join(tags, ", "), `W/"`, `"`)}
	}
}

// negotiateEncoding returns the content coding to ask the upstream for, so that links can be found in its response: gzip if the app
// accepts that, or else identity. It returns false if the app excludes identity (RFC 9110 section 12.5.3), and with it
// every response that was rewritten.
func negotiateEncoding(values []string) (coding string, ok bool) {
	accepts := map[string]bool{}
	for _, line := range values {
		for element := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(element, ";")
			accepts[strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "x-")] = !isZero(weight)
		}
	}
	rest, listed := accepts["*"]
	if identity, named := accepts["identity"]; named && !identity || !named && listed && !rest {
		return "", false
	}
	if gzip, named := accepts["gzip"]; gzip || !named && rest {
		return "gzip", true
	}
	return "identity", true
}

// isZero reports whether a weight says "not at all".
func isZero(weight string) bool {
	q, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(weight), " ", ""), "q=")
	return ok && strings.Trim(q, "0.") == ""
}
