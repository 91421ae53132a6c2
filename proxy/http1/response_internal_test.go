package http1

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// cannedConn is a connection whose other side has sent everything already.
type cannedConn struct {
	net.Conn // whose other methods do nothing
	*strings.Reader
	most int // bytes for each Read
}

func (c *cannedConn) Read(p []byte) (int, error) { return c.Reader.Read(p[:min(len(p), c.most)]) }

// parsedResponse is what a response says, in the terms of net/http.
type parsedResponse struct {
	status     int
	fields     http.Header
	body, left string
	trailer    http.Header
}

// parseOurs reports false if the response is not accepted, or its body is not. It arrives in pieces of most bytes.
func parseOurs(method, text string, most int) (p parsedResponse, ok bool) {
	unused, _ := net.Pipe()
	conn := &cannedConn{unused, strings.NewReader(text), most}
	e := newUpstreamConn(&Client{}, conn)
	r := &ClientRequest{Method: method}
	if e.receive(r) != nil {
		return p, false
	}
	e.prepareBody(r)
	body, err := io.ReadAll(e)
	if err != nil {
		return p, false
	}
	left, _ := io.ReadAll(conn.Reader)
	return parsedResponse{e.head.Status, headerOf(e.head.Fields), string(body), string(e.buffer.unread()) + string(left), headerOf(e.Trailer())}, true
}

func parseTheirs(method, text string) (p parsedResponse, err error) {
	r := bufio.NewReader(strings.NewReader(text))
	for {
		response, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return p, err
		}
		if response.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return p, err
		}
		left, err := io.ReadAll(r)
		return parsedResponse{response.StatusCode, normalize(response.Header), string(body), string(left), normalize(response.Trailer)}, err
	}
}

func headerOf(fields Fields) http.Header {
	h := http.Header{}
	for _, field := range fields {
		h.Add(field.Name, field.Value)
	}
	return normalize(h)
}

// normalize removes the differences that are intended: net/http removes fields that frame the message, may add Cache-Control, and
// keeps more of the whitespace in folded lines.
func normalize(h http.Header) http.Header {
	for _, name := range []string{"Connection", "Content-Length", "Transfer-Encoding", "Trailer", "Cache-Control"} {
		h.Del(name)
	}
	maps.DeleteFunc(h, func(_ string, values []string) bool { return values == nil })
	for _, values := range h {
		for i := range values {
			values[i] = strings.Join(strings.Fields(values[i]), " ")
		}
	}
	return h
}

// differs reports whether net/http is known to read a response in another way, or to refuse it.
func differs(text string, theirs error) bool {
	if theirs != nil && (strings.Contains(theirs.Error(), "bad trailer key") || strings.Contains(theirs.Error(), "chunked encoding") || errors.Is(theirs, bufio.ErrBufferFull) || strings.Contains(theirs.Error(), "too long")) {
		return true // names in Trailer, of which we ignore bad ones; many small chunks
	}
	for line := range strings.SplitSeq(text, "\n") {
		if name, _, found := strings.Cut(line, ":"); found && strings.TrimRight(name, " \t") != name {
			return true // RFC 9112 section 5.1: whitespace before the colon is removed; net/http ignores the field
		}
	}
	return false
}

// FuzzResponse checks that net/http reads what is accepted in the same way, leftovers included, however it arrives.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1",
		"HTTP/1.0 404 Not Found\r\nA: 1\r\n\tb\r\n\r\nuntil the end",
		"HTTP/1.1 200\nTransfer-Encoding: chunked\n\n2;x=y\r\nok\r\n0\r\nSum: 1\r\n\r\nleft",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nleft",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"a\"\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\nContent-Length: 3\r\n\r\nA \r\n0123456789\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: +1\r\n\r\n",
	} {
		f.Add("GET", seed)
		f.Add("HEAD", seed)
	}
	f.Fuzz(func(t *testing.T, method, text string) {
		if method != http.MethodHead {
			method = http.MethodGet
		}
		ours, ok := parseOurs(method, text, len(text))
		if inPieces, okInPieces := parseOurs(method, text, 1); ok != okInPieces || ok && !reflect.DeepEqual(ours, inPieces) {
			t.Errorf("got %+v, %t, but in pieces %+v, %t", ours, ok, inPieces, okInPieces)
		}
		if !ok {
			return
		}
		theirs, err := parseTheirs(method, text)
		if differs(text, err) {
			return
		}
		equal := func(a, b http.Header) bool { return maps.EqualFunc(a, b, slices.Equal) }
		if err != nil || ours.status != theirs.status || ours.body != theirs.body || ours.left != theirs.left || !equal(ours.fields, theirs.fields) || !equal(ours.trailer, theirs.trailer) {
			t.Errorf("got %+v, but net/http got %+v, %v", ours, theirs, err)
		}
	})
}
