package proxy

import (
	"bytes"
	"io"
	"net/http"

	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/linkrewrite"
)

const (
	maxBufferedGzip   = 16 << 10 // maxBufferedBody for gzip, which shortens JSON to about an eighth
	rewriteBufferSize = 16 << 10 // how much of a longer body is rewritten at a time
)

// relayRewritten forwards a response with rewritten links.
func (x *exchange) relayRewritten(gzipped bool) {
	limit := int64(maxBufferedBody)
	if gzipped {
		limit = maxBufferedGzip
	}
	hasBody := x.r.Method != http.MethodHead && x.response.Status != http.StatusNotModified
	if length := x.response.ContentLength; hasBody && length >= 0 && length <= limit {
		x.rewriteWhole(gzipped)
	} else {
		x.rewriteStream(flushingReader{x.w, x.response.Body}, gzipped)
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
		if text, ok = linkrewrite.Gunzip(body); !ok { // longer than it looks, or not gzip
			x.rewriteStream(bytes.NewReader(body), gzipped)
			return
		}
	}
	if rewritten, changed := x.links.rewriter.JSON(text); changed {
		body = rewritten
		dropValidators(&x.w.Fields)
	}
	x.w.WriteHead(x.response.Status, x.response.Reason, int64(len(body)))
	n, err := x.w.Write(body)
	x.finishResponse(int64(n), err)
}

// rewriteStream rewrites body, which is the response's, while it is forwarded.
func (x *exchange) rewriteStream(body io.Reader, gzipped bool) {
	dropValidators(&x.w.Fields)
	x.w.WriteHead(x.response.Status, x.response.Reason, -1)
	if gzipped {
		unzipped := linkrewrite.NewGunzipReader(body)
		defer func() { _ = unzipped.Close() }()
		body = unzipped
	}
	buffer := getBodyBuffer()
	defer putBodyBuffer(buffer)
	buffer.Grow(rewriteBufferSize)
	x.finishResponse(io.CopyBuffer(x.w, x.links.rewriter.NewReader(body), buffer.AvailableBuffer()[:rewriteBufferSize]))
}

// flushingReader flushes what was sent to the app before it waits for the API.
type flushingReader struct {
	w    *http1.ResponseWriter
	body http1.ResponseBody
}

func (f flushingReader) Read(p []byte) (int, error) {
	if !f.body.ReadReady() {
		if err := f.w.Flush(); err != nil {
			return 0, err
		}
	}
	return f.body.Read(p)
}
