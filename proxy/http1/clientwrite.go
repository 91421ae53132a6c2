package http1

import (
	"net/http"
	"strconv"
	"sync"
)

// requestBuffers holds buffers for requests. A connection has one only while it writes.
var requestBuffers = sync.Pool{New: func() any { return &requestBuffer{make([]byte, 0, smallBuffer)} }}

type requestBuffer struct{ bytes []byte }

// maxDirectBody is the length of the longest known body that is sent in one write with the header, by the goroutine that then
// reads the response. It fits into the buffers of a connection, so that writing it does not wait for an upstream that answers
// without reading.
const maxDirectBody = 64 << 10

// release gives the buffer back. A larger one would be kept for ever for the sake of one request.
func (w *requestBuffer) release() {
	if cap(w.bytes) <= 2*maxDirectBody {
		w.bytes = w.bytes[:0]
		requestBuffers.Put(w)
	}
}

// appendRequest appends the header of a request: RFC 9112 sections 2.1 and 3. The fields that frame the body are in the place
// of the first of them, or last.
func appendRequest(b []byte, r *ClientRequest) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\n"...)
	framed := false
	for i := range r.Fields {
		field := &r.Fields[i]
		if equalFold(field.Name, "Content-Length") || equalFold(field.Name, "Transfer-Encoding") {
			if !framed {
				b = appendFraming(b, r, true)
			}
			framed = true
			continue
		}
		b = appendField(b, field.Name, field.Value)
	}
	if !framed {
		b = appendFraming(b, r, r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch)
	}
	return append(b, "\r\n"...)
}

// appendFraming appends Transfer-Encoding or Content-Length: RFC 9112 section 6. A length of 0 is sent if it is expected.
func appendFraming(b []byte, r *ClientRequest, expected bool) []byte {
	length := r.ContentLength
	if r.Stream == nil {
		length = int64(len(r.Body))
	}
	switch {
	case length < 0:
		return append(b, "Transfer-Encoding: chunked\r\n"...)
	case length == 0 && !expected:
		return b
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, length, 10)
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}
