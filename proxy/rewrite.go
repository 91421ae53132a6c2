package proxy

import (
	"bytes"
	"io"

	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/linkrewrite"
)

const (
	// A body up to maxBufferedBody is rewritten whole, so that one without links is forwarded unchanged. maxBufferedGzip is the
	// same for gzip, which shortens JSON to about an eighth.
	maxBufferedGzip = 16 << 10
	// rewriteBufferSize is how much of a longer body is rewritten at a time.
	rewriteBufferSize = 16 << 10
)

// relayRewritten forwards a response with rewritten links.
func (x *exchange) relayRewritten(how rewriting) {
	limit := int64(maxBufferedBody)
	if how == gzipBody {
		limit = maxBufferedGzip
	}
	switch length := x.response.ContentLength; {
	case how == headOnly:
		dropValidators(&x.w.Fields)
		x.w.WriteHead(x.response.Status, x.response.Reason, -1)
	case length >= 0 && length <= limit:
		x.rewriteWhole(how)
	default:
		x.rewriteStream(flushingReader{x.w, x.response.Body}, how)
	}
}

// rewriteWhole reads a body, and rewrites it if it contains a link. If it breaks off, the app gets a problem.
func (x *exchange) rewriteWhole(how rewriting) {
	buffer := getBodyBuffer()
	defer putBodyBuffer(buffer)
	if _, err := buffer.ReadFrom(x.response.Body); err != nil {
		x.respond(x.upstreamFailure(err))
		return
	}
	body := buffer.Bytes()
	text := body
	if how == gzipBody {
		unzipped, ok := linkrewrite.Gunzip(body)
		if !ok { // longer than it looks, or not gzip
			x.rewriteStream(bytes.NewReader(body), how)
			return
		}
		text = unzipped
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
func (x *exchange) rewriteStream(body io.Reader, how rewriting) {
	dropValidators(&x.w.Fields)
	x.w.WriteHead(x.response.Status, x.response.Reason, -1)
	if how == gzipBody {
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
