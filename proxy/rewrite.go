package proxy

import (
	"bytes"
	"io"

	"etrusted-broker/proxy/http1"
	"etrusted-broker/proxy/linkrewrite"
)

// A body up to maxBuffered is rewritten whole, so that one without links is forwarded unchanged. maxBufferedGzip is the same for
// gzip, which shortens JSON to about an eighth.
const maxBufferedGzip = 16 << 10

// bufferSize is how much of a longer one is rewritten at a time.
const bufferSize = 16 << 10

// relayRewritten forwards a response with rewritten links.
func (x *exchange) relayRewritten(response *http1.ClientResponse, how rewriting, down downstream) {
	limit := int64(maxBuffered)
	if how == zipped {
		limit = maxBufferedGzip
	}
	switch {
	case how == withoutBody:
		dropValidators(&x.w.Fields)
		x.w.WriteHead(response.Status, response.Reason, -1)
	case response.ContentLength >= 0 && response.ContentLength <= limit:
		x.rewriteWhole(response, how, down)
	default:
		x.rewriteStream(response, flushingReader{x.w, response.Body}, how, down)
	}
}

// rewriteWhole reads a body, and rewrites it if it contains a link. If it breaks off, the app gets a problem.
func (x *exchange) rewriteWhole(response *http1.ClientResponse, how rewriting, down downstream) {
	buffer := getBuffer()
	defer putBuffer(buffer)
	if _, err := buffer.ReadFrom(response.Body); err != nil {
		x.respond(x.sendProblem(err))
		return
	}
	body, text, ok := buffer.Bytes(), buffer.Bytes(), true
	if how == zipped {
		if text, ok = linkrewrite.Gunzip(body); !ok { // longer than it looks, or not gzip
			x.rewriteStream(response, bytes.NewReader(body), how, down)
			return
		}
	}
	if rewritten, changed := x.links.rewriter.JSON(text); changed {
		body = rewritten
		dropValidators(&x.w.Fields)
	}
	x.w.WriteHead(response.Status, response.Reason, int64(len(body)))
	n, err := x.w.Write(body)
	x.finish(int64(n), err, response.Body, down)
}

// rewriteStream rewrites body, which is the response's, while it is forwarded.
func (x *exchange) rewriteStream(response *http1.ClientResponse, body io.Reader, how rewriting, down downstream) {
	dropValidators(&x.w.Fields)
	x.w.WriteHead(response.Status, response.Reason, -1)
	if how == zipped {
		unzipped := linkrewrite.NewGunzipReader(body)
		defer func() { _ = unzipped.Close() }()
		body = unzipped
	}
	buffer := getBuffer()
	defer putBuffer(buffer)
	buffer.Grow(bufferSize)
	n, err := io.CopyBuffer(x.w, x.links.rewriter.NewReader(body), buffer.AvailableBuffer()[:bufferSize])
	x.finish(n, err, response.Body, down)
}

// flushingReader flushes what was sent to the app before it waits for the API.
type flushingReader struct {
	w    *http1.ResponseWriter
	body http1.ResponseBody
}

func (f flushingReader) Read(p []byte) (int, error) {
	if !f.body.Ready() {
		if err := f.w.Flush(); err != nil {
			return 0, err
		}
	}
	return f.body.Read(p)
}
