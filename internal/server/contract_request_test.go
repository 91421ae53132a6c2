package server

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

func TestContract01TargetPassesByteForByte(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer)
	for _, target := range []string{
		"/a//b", "//a/b", "/%2f%2F", "/{|}", "/ü/€", "/x?a;b=%zz&{}", "/x?", "/?", "/x#f", "/[x]", "/*", "/a+b%20c?d=e+f",
		"/x?" + strings.Repeat("a=1&", 10_001),
	} {
		_, got := c.send(t, brokertest.PlainRequest("GET "+target))
		checkFrom(t, got, 200, "ok")
		line, _, _ := strings.Cut(c.api.takeOne(t), "\r\n")
		checkBytes(t, line, "GET "+target+" HTTP/1.1")
	}
	_, got := c.send(t, brokertest.PlainRequest("OPTIONS *"))
	checkFrom(t, got, 200, "ok")
	if got := c.api.takeOne(t); !strings.HasPrefix(got, "OPTIONS * HTTP/1.1\r\n") {
		t.Errorf("got %q, want OPTIONS *", got)
	}
	for _, target := range []string{
		"/a/../b", "/a/./b", "/..", "/%2e%2E/b", "/%252e%252e/b", "/%25252e/b", "/..;/b", `/a\b`, "/a%5cb", "/%00", "/%0d%0a", "/%250a",
	} {
		app, got := c.send(t, brokertest.PlainRequest("GET "+target)+brokertest.PlainRequest("GET /next"))
		checkOwn(t, got, 400)
		checkFrom(t, app.Next("GET"), 200, "ok")
		if got := c.api.takeOne(t); !strings.HasPrefix(got, "GET /next ") {
			t.Errorf("%s: got %q at the API, want only the next request", target, got)
		}
	}
}

// Lists of attacks are in cmd/broker; the rules themselves are tested in proxy/http1. X8 is the rows with own 417 and 400
// responses.
func TestContract02MalformedRequestsAreNeverForwarded(t *testing.T) {
	t.Parallel()
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
	c := startContract(t, answer)
	for name, row := range map[string]struct {
		status  int
		request string
	}{
		"two framings":              {400, brokertest.PlainRequest("POST /x", "Content-Length: 5", "Transfer-Encoding: chunked")},
		"two lengths":               {400, brokertest.PlainRequest("POST /x", "Content-Length: 5", "Content-Length: 5")},
		"list of codings":           {400, brokertest.PlainRequest("POST /x", "Transfer-Encoding: gzip, chunked")},
		"Transfer-Encoding in 1.0":  {400, "POST /x HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"},
		"blank before the colon":    {400, brokertest.PlainRequest("GET /x", "Content-Length : 5")},
		"folded line":               {400, brokertest.PlainRequest("GET /x", "X-A: 1", " 2")},
		"bare LF":                   {400, "GET /x HTTP/1.1\nHost: localhost\r\n\r\n"},
		"bare CR":                   {400, brokertest.PlainRequest("GET /x", "X-A: 1\r2")},
		"NUL":                       {400, brokertest.PlainRequest("GET /x", "X-A: \x00")},
		"NUL in the target":         {400, brokertest.PlainRequest("GET /\x00")},
		"blank in the target":       {400, brokertest.PlainRequest("GET /a b")},
		"percent sign":              {400, brokertest.PlainRequest("GET /%zz")},
		"no Host":                   {400, "GET /x HTTP/1.1\r\n\r\n"},
		"two Hosts":                 {400, brokertest.PlainRequest("GET /x", "Host: localhost")},
		"port of Host":              {400, "GET /x HTTP/1.1\r\nHost: x:abc\r\n\r\n"},
		"port of Host out of range": {400, "GET /x HTTP/1.1\r\nHost: x:99999\r\n\r\n"},
		"half an IPv6 Host":         {400, "GET /x HTTP/1.1\r\nHost: [::1\r\n\r\n"},
		"HTTP/2.0":                  {505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		"HTTP/1.2":                  {505, "GET /x HTTP/1.2\r\nHost: localhost\r\n\r\n"},
		"long header":               {431, brokertest.PlainRequest("GET /x", "X-A: "+strings.Repeat("a", 70_000))},
		"other Expect":              {417, brokertest.PlainRequest("GET /x", "Expect: 200-ok")},
		"other Expect first":        {417, brokertest.PlainRequest("GET /x", "Expect: 200-ok", "Expect: 100-continue")},
		"Trailer: Content-Length":   {400, brokertest.PlainRequest("POST /x", "Transfer-Encoding: chunked", "Trailer: Content-Length")},
		"Trailer: Trailer":          {400, brokertest.PlainRequest("POST /x", "Transfer-Encoding: chunked", "Trailer: Trailer")},
		"short method, odd target":  {400, brokertest.PlainRequest("G x")},
	} {
		app, got := c.send(t, row.request+smuggled)
		t.Run(name, func(t *testing.T) {
			checkOwn(t, got, row.status)
			if got := app.Rest(t); len(got) > 0 {
				t.Errorf("got the further statuses %v, want the connection closed", got)
			}
			if got := c.api.take(); len(got) > 0 {
				t.Errorf("got %q at the API, want nothing", got)
			}
		})
	}

	for name, row := range map[string]struct {
		status       int
		line, fields string // Host: localhost if fields is empty
	}{
		"dot segment":             {400, "POST /a/../b", ""},
		"user in an absolute URL": {400, "POST http://user@localhost/x", ""},
		"ftp":                     {400, "POST ftp://localhost/x", ""},
		"web page":                {403, "POST /x", "Host: localhost\r\nOrigin: http://localhost\r\n"},
		"other host":              {403, "POST http://example.com/x", ""},
		"WebSocket":               {403, "POST /x", "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"},
		"unknown account":         {404, "POST /@nobody/x", ""},
		"TRACE":                   {405, "TRACE /x", ""},
		"foreign Host":            {421, "POST /x", "Host: example.com\r\n"},
		"empty Host":              {421, "POST /x", "Host:\r\n"},
	} {
		if row.fields == "" {
			row.fields = "Host: localhost\r\n"
		}
		head := row.line + " HTTP/1.1\r\n" + row.fields
		t.Run("in sync after "+name, func(t *testing.T) {
			app, got := c.send(t, fmt.Sprintf("%sContent-Length: %d\r\n\r\n", head, len(smuggled))+smuggled+brokertest.PlainRequest("GET /next", "Connection: close"))
			checkOwn(t, got, row.status)
			if got := app.Rest(t); !slices.Equal(got, []int{200}) {
				t.Errorf("got the further statuses %v, want [200]", got)
			}
			if got := c.api.takeOne(t); !strings.HasPrefix(got, "GET /next ") {
				t.Errorf("got %q at the API, want only the next request", got)
			}
		})
		t.Run("closed after 1 MB of "+name, func(t *testing.T) {
			app, got := c.send(t, head+"Content-Length: 1000000\r\n\r\n"+strings.Repeat(smuggled, 1000))
			checkOwn(t, got, row.status)
			_, _ = io.Copy(io.Discard, app.Reader)
			if got := c.api.take(); len(got) > 0 {
				t.Errorf("got %q at the API, want nothing", got)
			}
		})
	}
	intercepting := startContract(t, answer, "BROKER_INTERCEPT_CA_DIR="+t.TempDir())
	for name, row := range map[string]struct {
		on     *contract
		target string
		status int
	}{
		"CONNECT without interception":   {c, "localhost:443", 405},
		"CONNECT with interception":      {intercepting, "example.com:443", 403},
		"CONNECT to the API's host only": {intercepting, "localhost:443", 403},
	} {
		t.Run(name, func(t *testing.T) {
			app, got := row.on.send(t, "CONNECT "+row.target+" HTTP/1.1\r\nHost: "+row.target+"\r\n\r\n"+smuggled)
			checkOwn(t, got, row.status)
			if got := app.Rest(t); len(got) > 0 {
				t.Errorf("got the further statuses %v, want the connection closed", got)
			}
			if got := row.on.api.take(); len(got) > 0 {
				t.Errorf("got %q at the API, want nothing", got)
			}
		})
	}
}

func TestContract03LimitsOfRequests(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer)
	headOf := func(size int) string {
		const frame = "X-Pad: "
		plain := brokertest.PlainRequest("GET /x", frame)
		return strings.Replace(plain, frame, frame+strings.Repeat("a", size-len(plain)), 1)
	}
	chunked := brokertest.PlainRequest("POST /x", "Transfer-Encoding: chunked", "Trailer: X-T")
	extended := func(length int) string { return chunked + "2;" + strings.Repeat("e", length) + "\r\nab\r\n0\r\n\r\n" }
	trailing := func(length int) string {
		return chunked + "2\r\nab\r\n0\r\nX-T: " + strings.Repeat("t", length) + "\r\n\r\n"
	}
	for name, row := range map[string]struct {
		status  int
		request string
	}{
		"header of 65,536 bytes":   {200, headOf(65_536)},
		"header of 65,537 bytes":   {431, headOf(65_537)},
		"chunk line of 4,000":      {200, extended(4000)},
		"chunk line of 5,000":      {400, extended(5000)},
		"trailers of 4,000 bytes":  {200, trailing(4000)},
		"trailers of 5,000 bytes":  {400, trailing(5000)},
		"one empty line before":    {200, "\r\n" + brokertest.PlainRequest("GET /x")},
		"two empty lines before":   {400, "\r\n\r\n" + brokertest.PlainRequest("GET /x")},
		"empty line is a LF":       {400, "\n" + brokertest.PlainRequest("GET /x")},
		"line end after a body":    {200, post("/x", "ab") + "\r\n"},
		"3,000 fields":             {200, brokertest.PlainRequest("GET /x", slices.Repeat([]string{"A: 1"}, 3000)...)},
		"chunk size with zeros":    {200, chunked + "0002\r\nab\r\n0\r\n\r\n"},
		"chunk size in upper case": {200, chunked + "A\r\n0123456789\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := c.send(t, row.request)
			if row.status == 200 {
				checkFrom(t, got, 200, "ok")
			} else {
				checkOwn(t, got, row.status)
			}
		})
	}
}

func TestContract04FaultyChunkCutsBody(t *testing.T) {
	t.Parallel()
	c := startContract(t, nil)
	for name, fault := range map[string]string{
		"sign":              "+5\r\nhello\r\n0\r\n\r\n",
		"no size":           "\r\nhello\r\n0\r\n\r\n",
		"too large":         "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"LF after the size": "5\nhello\r\n0\r\n\r\n",
		"data too long":     "5\r\nhello!\r\n0\r\n\r\n",
		"CR in extension":   "5;a\rb\r\nhello\r\n0\r\n\r\n",
		"folded trailer":    "0\r\nX-T: 1\r\n 2\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			app := c.Dial(t)
			app.Send(brokertest.PlainRequest("POST /x", "Transfer-Encoding: chunked") + "3\r\nabc\r\n")
			api := c.api.accept(t)
			if _, ok := api.head(); !ok {
				t.Fatal("got no header at the API")
			}
			checkBytes(t, readText(t, api, len("3\r\nabc\r\n")), "3\r\nabc\r\n")
			app.Send(fault + brokertest.PlainRequest("GET /smuggled"))
			if rest := api.rest(); strings.Contains(rest, "0\r\n") || strings.Contains(rest, "smuggled") {
				t.Errorf("got %q at the API after the fault, want the body cut", rest)
			}
			checkOwn(t, app.Next("POST"), 400)
			if got := app.Rest(t); len(got) > 0 {
				t.Errorf("got the further statuses %v, want the connection closed", got)
			}
		})
	}
}

func readText(t *testing.T, c *apiConn, n int) string {
	t.Helper()
	text, ok := c.bytes(n)
	if !ok {
		t.Fatalf("got only %q at the API, want %d bytes", text, n)
	}
	return text
}

func TestContract05FieldsOfRequests(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer)
	for name, row := range map[string]struct{ sent, want []string }{
		"order and case are kept, nothing is invented": {
			[]string{"x-B: 1", "X-a: 2", "x-b:3", "accept:", "X-REQUEST-ID: r"},
			[]string{"x-B: 1", "X-a: 2", "x-b: 3", "accept: ", "X-REQUEST-ID: r", "Authorization: TOKEN"},
		},
		"one Authorization": {
			[]string{"X-Request-Id: r", "aUTHORIZATION: Bearer mine", "Authorization: Basic eDp5", "Proxy-Authorization: Basic eDp5"},
			[]string{"X-Request-Id: r", "aUTHORIZATION: TOKEN"},
		},
		"Connection names what must stay": {
			[]string{"X-Request-Id: r", "Connection: authorization, via, host, close", "Authorization: x"},
			[]string{"X-Request-Id: r", "Authorization: TOKEN"},
		},
		"hop-by-hop": {
			[]string{"X-Request-Id: r", "Connection: X-N,, x_o", "Connection:", "X-N: 1", "X_N: 1", "X-O: 1", "Keep-Alive: timeout=5", "Keep_Alive: 1",
				"Proxy-Connection: keep-alive", "TE: gzip, trailers", "Upgrade: h2c", "HTTP2-Settings: AAAA"},
			[]string{"X-Request-Id: r", "TE: trailers", "Authorization: TOKEN"},
		},
		"forwarding": {
			[]string{"X-Request-Id: r", "X-Forwarded-For: 1.2.3.4", "X_Forwarded_Proto: https", "x-forwarded-anything: 1", "Forwarded: for=x", "X-Other: 1"},
			[]string{"X-Request-Id: r", "X-Other: 1", "Authorization: TOKEN"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.send(t, brokertest.PlainRequest("GET /x", row.sent...))
			token := fieldOf(strings.ReplaceAll(c.api.takeOne(t), "aUTHORIZATION", "Authorization"), "Authorization")
			if !strings.HasPrefix(token, "Bearer ") || token == "Bearer mine" {
				t.Fatalf("got Authorization %q, want the broker's token", token)
			}
			c.send(t, brokertest.PlainRequest("GET /x", row.sent...))
			want := "GET /x HTTP/1.1\r\nHost: " + c.api.host + "\r\n" + brokertest.HeaderLines(row.want...) + "Via: 1.1 etrusted-broker\r\n\r\n"
			checkBytes(t, c.api.takeOne(t), strings.ReplaceAll(want, "TOKEN", token))
		})
	}
	t.Run("Authorization is no trailer", func(t *testing.T) {
		c.send(t, brokertest.PlainRequest("POST /x", "Transfer-Encoding: chunked", "Trailer: Authorization, X-T")+"0\r\nAuthorization: Bearer mine\r\nX-T: 1\r\n\r\n")
		r, _ := parseRequest(t, c.api.takeOne(t))
		if len(r.Header["Authorization"]) != 1 || len(r.Trailer["Authorization"]) > 0 || r.Trailer.Get("X-T") != "1" {
			t.Errorf("got the header %v and the trailer %v, want Authorization once, and X-T in the trailer", r.Header, r.Trailer)
		}
	})
}

func TestContract06ShortBodiesAreReadFirst(t *testing.T) {
	t.Parallel()
	c := startContract(t, nil)
	t.Run("65,536 bytes", func(t *testing.T) {
		app := c.Dial(t)
		app.Send(brokertest.PlainRequest("POST /x", "Content-Length: 65536", "Expect: 100-continue"))
		checkBytes(t, readHead(t, app), "HTTP/1.1 100 Continue\r\n\r\n")
		body := strings.Repeat("a", 65_536)
		app.Send(body[1:])
		if got := c.api.openedConns(); got != 0 {
			t.Errorf("got %d connections at the API before the body was complete, want 0", got)
		}
		app.Send("a")
		api := c.api.accept(t)
		request, _ := api.request()
		if r, got := parseRequest(t, request); got != body || r.ContentLength != 65_536 || r.Header.Get("Expect") != "" {
			t.Errorf("got the length %d, %d bytes and the fields %v, want all without Expect", r.ContentLength, len(got), r.Header)
		}
		api.send(okResponse)
		checkFrom(t, app.Next("POST"), 200, "ok")
		api.finish()
	})
	for name, fields := range map[string]string{"65,537 bytes": "Content-Length: 65537", "chunked": "Transfer-Encoding: chunked"} {
		t.Run(name, func(t *testing.T) {
			app := c.Dial(t)
			app.Send(brokertest.PlainRequest("POST /x", fields))
			api := c.api.accept(t)
			if head, ok := api.head(); !ok || !strings.Contains(head, fields) {
				t.Fatalf("got %q at the API, want the header with %s before the body", head, fields)
			}
			for _, part := range []string{"1\r\na\r\n", "2\r\nbc\r\n"} { // each arrives before the next is sent
				app.Send(part)
				checkBytes(t, readText(t, api, len(part)), part)
			}
			api.finish()
			checkOwn(t, app.Next("POST"), 502)
		})
	}
}

// readHead returns the next header that the app receives, informational or not, byte for byte.
func readHead(t *testing.T, app *brokertest.RawConn) string {
	t.Helper()
	for text := ""; ; {
		line, err := app.Reader.ReadString('\n')
		text += line
		if err != nil {
			t.Fatalf("got %q, %v, want a header", text, err)
		}
		if line == "\r\n" {
			return text
		}
	}
}

func TestContract07FramingIsKept(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer)
	t.Run("requests", func(t *testing.T) {
		for request, want := range map[string]string{ // framing and body
			post("/x", "hello"):                "Content-Length: 5 \"hello\"",
			post("/x", ""):                     "Content-Length: 0 \"\"",
			brokertest.PlainRequest("POST /x"): "Content-Length: 0 \"\"",
			brokertest.PlainRequest("GET /x"):  " \"\"",
			brokertest.PlainRequest("DELETE /x", "Content-Length: 2") + "ab":                                      "Content-Length: 2 \"ab\"",
			brokertest.PlainRequest("POST /x", "Content-Length: 0005") + "hello":                                  "Content-Length: 5 \"hello\"",
			brokertest.PlainRequest("POST /x", "transfer-encoding: ChUnKeD") + "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n": "Transfer-Encoding: chunked \"hello\"",
			brokertest.PlainRequest("POST /x", "Transfer-Encoding: chunked") + "0\r\n\r\n":                        "Transfer-Encoding: chunked \"\"",
		} {
			_, got := c.send(t, request)
			checkFrom(t, got, 200, "ok")
			text := c.api.takeOne(t)
			framing := ""
			for line := range strings.SplitSeq(text, "\r\n") {
				if strings.HasPrefix(line, "Content-Length") || strings.HasPrefix(line, "Transfer-Encoding") {
					framing += line
				}
			}
			_, body := parseRequest(t, text)
			if got := fmt.Sprintf("%s %q", framing, body); got != want {
				t.Errorf("%q: got %s, want %s", request, got, want)
			}
		}
	})
	t.Run("responses", func(t *testing.T) {
		const date = "Date: Thu, 26 Nov 2026 12:00:00 GMT\r\n"
		for _, reply := range []string{
			"HTTP/1.1 200 OK\r\n" + date + "Content-Length: 5\r\n\r\nhello",
			"HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + date + "Content-Length: 0\r\n\r\n",
		} {
			c.api.set(reply, nil)
			app, _ := c.send(t, brokertest.PlainRequest("GET /x"))
			checkBytes(t, app.Seen.String(), reply)
		}
	})
	t.Run("trailers of requests", func(t *testing.T) {
		c.api.set(okResponse, nil)
		c.api.take()
		c.send(t, brokertest.PlainRequest("POST /x", "Connection: X-Hop", "Transfer-Encoding: chunked", "Trailer: X-A, X-B, Host, Via, X-Forwarded-For, Cookie, X-Hop, @")+
			"1\r\na\r\n0\r\nX-A: 1\r\nX-A: 2\r\nx-B: 3\r\nX-Unannounced: 1\r\nHost: evil\r\nVia: 1.1 x\r\nX-Forwarded-For: 1.2.3.4\r\nCookie: a=b\r\nX-Hop: 1\r\n\r\n")
		text := c.api.takeOne(t)
		if !strings.HasSuffix(text, "\r\n\r\n1\r\na\r\n0\r\nX-A: 1\r\nX-A: 2\r\nx-B: 3\r\n\r\n") || fieldOf(text, "Trailer") != "X-A, X-B" {
			t.Errorf("got %q at the API, want the trailers X-A and x-B", text)
		}
	})
	t.Run("trailers of responses", func(t *testing.T) {
		c.api.set("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A, Content-Length, Set-Cookie\r\n\r\n1\r\na\r\n0\r\n"+
			"x-A: 1\r\nX-Unannounced: 2\r\nContent-Length: 5\r\nHost: evil\r\nSet-Cookie: a=b\r\nAuthorization: x\r\nStatus: 500\r\n"+
			"Transfer-Encoding: gzip\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\nProxy-Status: etrusted-broker; error=x\r\n\r\n", nil)
		app, got := c.send(t, brokertest.PlainRequest("GET /x"))
		checkFrom(t, got, 200, "a")
		if text := app.Seen.String(); !strings.HasSuffix(text, "\r\n\r\n1\r\na\r\n0\r\nx-A: 1\r\nX-Unannounced: 2\r\n\r\n") || fieldOf(text, "Trailer") != "X-A" {
			t.Errorf("got %q, want the trailers x-A and X-Unannounced", text)
		}
	})
}
