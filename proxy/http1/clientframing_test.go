package http1_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/proxy/http1"
)

// TestReadsResponse has the framing of RFC 9112 section 6, and what a recipient tolerates. The upstream closes the connection
// after the response if that does not say how long it is.
func TestReadsResponse(t *testing.T) {
	const (
		reused = 1 + iota // the next request is sent on the same connection
		fresh             // … on another
	)
	long := strings.Repeat("x", 5000)
	for name, test := range map[string]struct {
		method, response string
		status           int // 0 means an error
		fields           string
		body             string
		next             int
	}{
		"length":                    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "Content-Length: 2", "ok", reused},
		"length of zero":            {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "Content-Length: 0", "", reused},
		"equal lengths":             {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, "Content-Length: 2|Content-Length: 2", "ok", reused},
		"zeros before the length":   {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 002\r\n\r\nok", 200, "Content-Length: 002", "ok", reused},
		"chunked":                   {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", 200, "Transfer-Encoding: chunked", "ok", reused},
		"chunked in any case":       {"GET", "HTTP/1.1 200 OK\r\ntransfer-encoding:\t cHuNkEd \r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "transfer-encoding: cHuNkEd", "ok", reused},
		"chunked after a length":    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "Content-Length: 99|Transfer-Encoding: chunked", "ok", fresh},
		"chunked before a length":   {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "Transfer-Encoding: chunked|Content-Length: 1", "ok", fresh},
		"space before the colon":    {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "Transfer-Encoding: chunked", "ok", reused},
		"space, and a length":       {"GET", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", 200, "Content-Length: 2", "ok", reused},
		"space behind a chunk size": {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n", 200, "Transfer-Encoding: chunked", "ok", reused},
		"until the end":             {"GET", "HTTP/1.1 200 OK\r\n\r\nok", 200, "", "ok", fresh},
		"closes":                    {"GET", "HTTP/1.1 200 OK\r\nConnection: X, close\r\nContent-Length: 2\r\n\r\nok", 200, "Connection: X, close|Content-Length: 2", "ok", fresh},
		"1.0":                       {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "Content-Length: 2", "ok", fresh},
		"1.0, until the end":        {"GET", "HTTP/1.0 200 OK\r\n\r\nok", 200, "", "ok", fresh},
		"1.0, kept":                 {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, "Connection: keep-alive|Content-Length: 2", "ok", reused},
		"other versions":            {"GET", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "Content-Length: 2", "ok", reused},
		"order and case":            {"GET", "HTTP/1.1 200 OK\r\nb: 1\r\nETAG: 2\r\nB: 3\r\nContent-Length: 0\r\n\r\n", 200, "b: 1|ETAG: 2|B: 3|Content-Length: 0", "", reused},
		"bare LF":                   {"GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "Content-Length: 2", "ok", reused},
		"folded lines":              {"GET", "HTTP/1.1 200 OK\r\nA: 1\r\n \t2\r\nContent-Length:\r\n 2\r\n\r\nok", 200, "A: 1 2|Content-Length: 2", "ok", reused},
		"256 folded lines":          {"GET", "HTTP/1.1 200 OK\r\nA: 1\r\n" + strings.Repeat(" 2\r\n", 256) + "Content-Length: 2\r\n\r\nok", 200, "A: 1" + strings.Repeat(" 2", 256) + "|Content-Length: 2", "ok", reused},
		"no reason":                 {"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "Content-Length: 0", "", reused},
		"unknown status":            {"GET", "HTTP/1.1 999 ?\r\nContent-Length: 0\r\n\r\n", 999, "Content-Length: 0", "", reused},
		"long reason":               {"GET", "HTTP/1.1 200 " + long + "\r\nContent-Length: 0\r\n\r\n", 200, "Content-Length: 0", "", reused},
		"long field":                {"GET", "HTTP/1.1 200 OK\r\nA: " + long + "\r\nContent-Length: 0\r\n\r\n", 200, "A: " + long + "|Content-Length: 0", "", reused},
		"long body":                 {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + long, 200, "Content-Length: 5000", long, reused},
		"long chunk":                {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + long + "\r\n0\r\n\r\n", 200, "Transfer-Encoding: chunked", long, reused},

		"HEAD with a length":         {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, "Content-Length: 9", "", reused},
		"HEAD with chunks announced": {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "Transfer-Encoding: chunked", "", reused},
		"HEAD with a body":           {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "Content-Length: 2", "", fresh},
		"204":                        {"GET", "HTTP/1.1 204 No\r\n\r\n", 204, "", "", reused},
		"204 with a zero length":     {"GET", "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", 204, "Content-Length: 0", "", reused},
		"204 with a length":          {"GET", "HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n", 204, "Content-Length: 9", "", fresh},
		"204 with chunks announced":  {"GET", "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", 204, "Transfer-Encoding: chunked", "", fresh},
		"304 with a length":          {"GET", "HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", 304, "Content-Length: 9", "", reused},
		"304 with chunks announced":  {"GET", "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n", 304, "Transfer-Encoding: chunked", "", fresh},
		"304 with a body":            {"GET", "HTTP/1.1 304 No\r\n\r\nok", 304, "", "", fresh},
		"two responses":              {"GET", okResponse + okResponse, 200, "Content-Length: 2", "ok", fresh},
		"408 behind the response":    {"GET", okResponse + "HTTP/1.1 408 Slow\r\nConnection: close\r\n\r\n", 200, "Content-Length: 2", "ok", fresh},

		"differing lengths":         {method: "GET", response: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"},
		"list of lengths":           {method: "GET", response: "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"},
		"no number":                 {method: "GET", response: "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"},
		"too large a number":        {method: "GET", response: "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nok"},
		"chunked with a bad length": {method: "GET", response: "HTTP/1.1 200 OK\r\nContent-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		"gzip, chunked":             {method: "GET", response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
		"identity":                  {method: "GET", response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok"},
		"chunked twice":             {method: "GET", response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		"chunked in 1.0":            {method: "GET", response: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		"status of two digits":      {method: "GET", response: "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"},
		"status of four digits":     {method: "GET", response: "HTTP/1.1 1000 OK\r\nContent-Length: 0\r\n\r\n"},
		"status 099":                {method: "GET", response: "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"},
		"status +20":                {method: "GET", response: "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n"},
		"status without a space":    {method: "GET", response: "HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n"},
		"101":                       {method: "GET", response: "HTTP/1.1 101 Switch\r\nUpgrade: x\r\n\r\n"},
		"HTTP/1":                    {method: "GET", response: "HTTP/1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"http/1.1":                  {method: "GET", response: "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"empty line before":         {method: "GET", response: "\r\n" + okResponse},
		"another protocol":          {method: "GET", response: "SSH-2.0-OpenSSH"},
		"bare CR":                   {method: "GET", response: "HTTP/1.1 200 OK\r\nA: 1\rB: 2\r\n\r\n"},
		"NUL":                       {method: "GET", response: "HTTP/1.1 200 OK\r\nA: 1\x00\r\n\r\n"},
		"no colon":                  {method: "GET", response: "HTTP/1.1 200 OK\r\nA\r\n\r\n"},
		"no name":                   {method: "GET", response: "HTTP/1.1 200 OK\r\n: 1\r\n\r\n"},
		"parenthesis in a name":     {method: "GET", response: "HTTP/1.1 200 OK\r\nA(: 1\r\n\r\n"},
		"first line folded":         {method: "GET", response: "HTTP/1.1 200 OK\r\n A: 1\r\n\r\n"},
		"257 folded lines":          {method: "GET", response: "HTTP/1.1 200 OK\r\nA: 1\r\n" + strings.Repeat(" 2\r\n", 257) + "Content-Length: 0\r\n\r\n"},
		"256 KiB":                   {method: "GET", response: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 256<<10) + "\r\n\r\n"},
		"33 informational":          {method: "GET", response: strings.Repeat("HTTP/1.1 103 Hints\r\n\r\n", 33) + okResponse},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) {
				c.send(test.response)
				if test.status != 0 && !strings.Contains(strings.ToLower(test.response), "content-length") && !strings.Contains(strings.ToLower(test.response), "chunked") && test.status == 200 {
					_ = c.Close()
				}
			}))
			response, body, err := u.roundTrip(newRequest(t, test.method))
			if test.status == 0 {
				if malformed := (*http1.InvalidResponseError)(nil); !errors.As(err, &malformed) {
					t.Fatalf("got status %d and error %v, want a *InvalidResponseError", response.Status, err)
				}
				u.wantCounts(t, 1, 1) // it is not sent again
				return
			}
			var fields []string
			for _, field := range response.Fields {
				fields = append(fields, field.Name+": "+field.Value)
			}
			if err != nil || response.Status != test.status || strings.Join(fields, "|") != test.fields || body != test.body {
				t.Fatalf("got %d, %q, %q, %v, want %d, %q, %q", response.Status, fields, body, err, test.status, test.fields, test.body)
			}
			if _, _, err := u.roundTrip(newRequest(t, test.method)); err != nil {
				t.Fatalf("the next request: got %v", err)
			}
			u.wantCounts(t, int32(test.next), 2)
		})
	}
}

func TestKeepsReason(t *testing.T) {
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) {
		c.send("HTTP/1.1 404 No such review, sorry\r\nContent-Length: 0\r\n\r\n")
	}))
	if response, _, err := u.roundTrip(newRequest(t, "GET")); err != nil || response.Reason != "No such review, sorry" {
		t.Errorf("got reason %q, error %v", response.Reason, err)
	}
}

// A body that breaks off, and one whose chunks are malformed, is delivered as far as it is good, and then is an error.
func TestDetectsBrokenBody(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
	for name, test := range map[string]struct {
		response string
		want     error
	}{
		"length":                {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", io.ErrUnexpectedEOF},
		"largest length":        {"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nok", io.ErrUnexpectedEOF},
		"no last chunk":         {chunked, io.ErrUnexpectedEOF},
		"within a chunk":        {chunked + "9\r\n", io.ErrUnexpectedEOF},
		"within the trailers":   {chunked + "0\r\nA: 1\r\n", io.ErrUnexpectedEOF},
		"chunk without CRLF":    {chunked + "\n", http1.ErrChunk},
		"chunk size with LF":    {chunked + "1\nx\r\n0\r\n\r\n", http1.ErrChunk},
		"signed chunk size":     {chunked + "+1\r\nx\r\n0\r\n\r\n", http1.ErrChunk},
		"0x":                    {chunked + "0x1\r\nx\r\n0\r\n\r\n", http1.ErrChunk},
		"huge chunk size":       {chunked + "11111111111111111\r\nx\r\n0\r\n\r\n", http1.ErrChunk},
		"long extension":        {chunked + "1;" + strings.Repeat("x", 4<<10) + "\r\nx\r\n0\r\n\r\n", http1.ErrChunk},
		"trailer with LF":       {chunked + "0\r\nA: 1\n\r\n", http1.ErrChunk},
		"trailer without colon": {chunked + "0\r\nA\r\n\r\n", http1.ErrChunk},
		"long trailers":         {chunked + "0\r\n" + strings.Repeat("A: 1\r\n", 1000) + "\r\n", http1.ErrChunk},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := startUpstream(t, func(c *upstreamConn) {
				c.request()
				c.send(test.response)
			})
			response, body, err := u.roundTrip(newRequest(t, "GET"))
			if response.Status != 200 || body != "ok" || !errors.Is(err, test.want) {
				t.Errorf("got %d, %q, %v, want 200, \"ok\" and %v", response.Status, body, err, test.want)
			}
		})
	}
}

// An upstream that closes before the header is complete has not sent an invalid response.
func TestReportsEarlyEnd(t *testing.T) {
	for _, response := range []string{"", "H", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nA: 1\r\n"} {
		u := startUpstream(t, func(c *upstreamConn) {
			c.request()
			c.send(response)
		})
		if _, _, err := u.roundTrip(newRequest(t, "GET")); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: got %v, want %v", response, err, io.ErrUnexpectedEOF)
		}
		u.wantCounts(t, 1, 1)
	}
}

type informational struct{ got []string }

func (i *informational) Informational(status int, reason string, fields http1.Fields) error {
	i.got = append(i.got, fmt.Sprint(status, " ", reason, " ", fields))
	if status == 199 {
		return io.ErrClosedPipe
	}
	return nil
}

func TestForwardsInformationalResponses(t *testing.T) {
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) {
		c.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + strings.Repeat("HTTP/1.1 102 Wait\r\n\r\n", 30) + okResponse)
	}))
	r, handler := newRequest(t, "GET"), &informational{}
	r.OnInformational = handler
	if body := u.mustSucceed(t, r); body != "ok" || len(handler.got) != 31 || handler.got[0] != "103 Early Hints [{Link a}]" {
		t.Errorf("got %q and %q, want ok, one 103 and 30 others", body, handler.got)
	}
	many := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) { c.send(strings.Repeat("HTTP/1.1 102 Wait\r\n\r\n", 33)) }))
	handler.got = nil
	_, _, err := many.roundTrip(r)
	if malformed := (*http1.InvalidResponseError)(nil); !errors.As(err, &malformed) || len(handler.got) != 32 {
		t.Errorf("got %v and %d informational responses, want an error after 32", err, len(handler.got))
	}
	refusing := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) { c.send("HTTP/1.1 199 X\r\n\r\n" + okResponse) }))
	if _, _, err := refusing.roundTrip(r); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want the handler's error", err)
	}
}

func TestReturnsTrailers(t *testing.T) {
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) {
		c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n2\r\nok\r\n0\r\nSum: 1\r\nsum: 2\r\n\r\n")
	}))
	response, err := u.client.RoundTrip(newRequest(t, "GET"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if trailer := fmt.Sprint(response.Body.Trailer()); err != nil || string(body) != "ok" || trailer != "[{Sum 1} {sum 2}]" {
		t.Errorf("got %q, %v, trailers %s", body, err, trailer)
	}
	_ = response.Body.Close()
}

func TestReadyOnlyIfReadDoesNotWait(t *testing.T) {
	proceed := make(chan struct{})
	u := startUpstream(t, each(func(c *upstreamConn, _ *http.Request) {
		c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0")
		<-proceed
		c.send("\r\n\r\n")
	}))
	response, err := u.client.RoundTrip(newRequest(t, "GET"))
	if err != nil {
		t.Fatal(err)
	}
	if !response.Body.ReadReady() {
		t.Error("it is not ready, although a chunk came with the header")
	}
	body := make([]byte, 10)
	if n, err := response.Body.Read(body); n != 2 || err != nil {
		t.Errorf("got %d, %v, want 2 bytes", n, err)
	}
	if response.Body.ReadReady() {
		t.Error("it is ready before the end of the body has arrived")
	}
	close(proceed)
	if n, err := response.Body.Read(body); n != 0 || !errors.Is(err, io.EOF) || !response.Body.ReadReady() {
		t.Errorf("got %d, %v, ready: %t, want the end", n, err, response.Body.ReadReady())
	}
	_ = response.Body.Close()
}
