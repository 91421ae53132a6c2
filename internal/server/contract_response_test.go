package server

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// dateField is in replies, so that the broker adds no other.
const dateField = "Date: Thu, 26 Nov 2026 12:00:00 GMT\r\n"

// X2 and D35.
func TestContract08ResponsesAreForwardedAsTheyArrive(t *testing.T) {
	t.Parallel()
	c := startContract(t, nil, "BROKER_REWRITE_LINKS=true")
	begin := func(t *testing.T) (*brokertest.RawConn, *apiConn) {
		t.Helper()
		app := c.Dial(t)
		app.Send(brokertest.PlainRequest("GET /x"))
		api := c.api.accept(t)
		api.head()
		return app, api
	}
	for name, head := range map[string]string{
		"known length":   "HTTP/1.1 200 OK\r\n" + dateField + "Content-Length: 10\r\n\r\n",
		"until it ends":  "HTTP/1.1 200 OK\r\n" + dateField + "Connection: close\r\n\r\n",
		"long JSON":      "HTTP/1.1 200 OK\r\n" + dateField + "Content-Type: application/json\r\nContent-Length: 70000\r\n\r\n",
		"event stream":   "HTTP/1.1 200 OK\r\n" + dateField + "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
		"no-transform":   "HTTP/1.1 200 OK\r\n" + dateField + "Content-Type: application/json\r\nCache-Control: no-transform\r\nContent-Length: 10\r\n\r\n",
		"chunked ndjson": "HTTP/1.1 200 OK\r\n" + dateField + "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			app, api := begin(t)
			api.send(head)
			got := readHead(t, app) // before the API sends a byte of the body
			chunked := strings.Contains(got, "chunked")
			for _, part := range []string{"ab", "cd\n"} { // each is flushed before the next is sent
				want := part
				if chunked {
					want = fmt.Sprintf("%x\r\n%s\r\n", len(part), part)
				}
				if strings.Contains(head, "chunked") {
					api.send(fmt.Sprintf("%x\r\n%s\r\n", len(part), part))
				} else {
					api.send(part)
				}
				text := make([]byte, len(want))
				if _, err := io.ReadFull(app.Reader, text); err != nil {
					t.Fatal(err)
				}
				checkBytes(t, string(text), want)
			}
			api.reset()
			if rest, _ := io.ReadAll(app.Reader); len(rest) > 0 { // status, then cut
				t.Errorf("got %q after the API's reset, want a cut", rest)
			}
		})
	}
	t.Run("broken before the body", func(t *testing.T) {
		app, api := begin(t)
		api.send("HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n")
		api.finish()
		if got := app.Next("GET"); got.Status != 201 || got.Err == nil || got.Body != "" {
			t.Errorf("got %+v, want the status 201 and a cut", got)
		}
	})
	const json = "HTTP/1.1 200 OK\r\n" + dateField + "Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"a\":"
	t.Run("short JSON that breaks off", func(t *testing.T) {
		app, api := begin(t)
		api.send(json)
		api.finish()
		checkOwn(t, app.Next("GET"), 502)
	})
	t.Run("short JSON", func(t *testing.T) {
		app, api := begin(t)
		api.send(json)
		api.send("\"hello\"}")
		checkFrom(t, app.Next("GET"), 200, `{"a":"hello"}`)
	})
}

func TestContract09ResponsesWithoutBody(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer)
	const request = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"
	head := strings.Replace(request, "GET", "HEAD", 1)
	for name, row := range map[string]struct{ request, reply, want string }{
		"reason, order and case":     {request, "HTTP/1.1 299 Fine  indeed\r\nx-B: 1\r\nX-a: 2\r\nx-b:3\r\nETag: \"x\"\r\n" + dateField + "content-length: 2\r\n\r\nok", "HTTP/1.1 299 Fine  indeed\r\nx-B: 1\r\nX-a: 2\r\nx-b: 3\r\nETag: \"x\"\r\n" + dateField + "Content-Length: 2\r\n\r\nok"},
		"two Dates, two types":       {request, "HTTP/1.1 200 OK\r\n" + dateField + dateField + "Content-Type: a\r\nContent-Type: b\r\nServer: x\r\nContent-Length: 0\r\n\r\n", ""},
		"HEAD with a length":         {head, "HTTP/1.1 200 OK\r\n" + dateField + "Content-Length: 5000\r\n\r\n", ""},
		"HEAD, chunked":              {head, "HTTP/1.1 200 OK\r\n" + dateField + "Transfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n" + dateField + "\r\n"},
		"HEAD without framing":       {head, "HTTP/1.1 401 Unauthorized\r\n" + dateField + "\r\n", ""},
		"204":                        {request, "HTTP/1.1 204 No Content\r\n" + dateField + "\r\n", ""},
		"204 with a length":          {request, "HTTP/1.1 204 No Content\r\n" + dateField + "Content-Length: 2\r\n\r\nok", "HTTP/1.1 204 No Content\r\n" + dateField + "\r\n"},
		"204, chunked":               {request, "HTTP/1.1 204 No Content\r\n" + dateField + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "HTTP/1.1 204 No Content\r\n" + dateField + "\r\n"},
		"304":                        {request, "HTTP/1.1 304 Not Modified\r\n" + dateField + "ETag: \"x\"\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n", ""},
		"205":                        {request, "HTTP/1.1 205 Reset Content\r\n" + dateField + "Content-Length: 0\r\n\r\n", ""},
		"no reason":                  {request, "HTTP/1.1 200 \r\n" + dateField + "Content-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n" + dateField + "Content-Length: 0\r\n\r\n"},
		"fields of the API's origin": {request, "HTTP/1.1 200 OK\r\n" + dateField + "Strict-Transport-Security: max-age=1\r\nAlt-Svc: h3\r\nAccess-Control-Allow-Origin: *\r\nProxy-Status: etrusted-broker; error=x\r\nProxy-Status: cdn\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n" + dateField + "Proxy-Status: cdn\r\nContent-Length: 0\r\n\r\n"},
		"hop-by-hop with close (X7)": {request, "HTTP/1.1 200 OK\r\n" + dateField + "Connection: close, X-N\r\nX-N: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nX-O: 1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n" + dateField + "X-O: 1\r\nContent-Length: 0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c.api.set(row.reply, nil)
			if row.want == "" {
				row.want = row.reply
			}
			app, _ := c.send(t, row.request)
			checkBytes(t, app.Seen.String(), row.want)
			c.api.set(okResponse, nil)
			app.Send(request)
			checkFrom(t, app.Next("GET"), 200, "ok")
		})
	}
	t.Run("Date is added, a type is not", func(t *testing.T) {
		c.api.set("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", nil)
		_, got := c.send(t, request)
		if got.Header.Get("Date") == "" || len(got.Header) != 2 {
			t.Errorf("got the fields %v, want Date and Content-Length", got.Header)
		}
	})
}

// X3.
func TestContract10HTTP10(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer)
	const request = "GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n"
	const keepAlive = "GET /x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
	const chunked = "HTTP/1.1 200 OK\r\n" + dateField + "Transfer-Encoding: chunked\r\n\r\n"
	for name, row := range map[string]struct{ request, reply, want string }{
		"length":                {request, "HTTP/1.1 200 OK\r\n" + dateField + "Content-Length: 2\r\n\r\nok", "HTTP/1.0 200 OK\r\n" + dateField + "Content-Length: 2\r\n\r\nok"},
		"chunked":               {request, chunked + "2\r\nok\r\n0\r\nX-T: 1\r\n\r\n", "HTTP/1.0 200 OK\r\n" + dateField + "\r\nok"},
		"chunked, keep-alive":   {keepAlive, chunked + "2\r\nok\r\n0\r\n\r\n", "HTTP/1.0 200 OK\r\n" + dateField + "\r\nok"},
		"informational":         {request, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n" + dateField + "Content-Length: 0\r\n\r\n", "HTTP/1.0 200 OK\r\n" + dateField + "Content-Length: 0\r\n\r\n"},
		"POST without a length": {"POST /x HTTP/1.0\r\nHost: localhost\r\n\r\nbody", "HTTP/1.1 200 OK\r\n" + dateField + "Content-Length: 2\r\n\r\nok", "HTTP/1.0 200 OK\r\n" + dateField + "Content-Length: 2\r\n\r\nok"},
	} {
		t.Run(name, func(t *testing.T) {
			c.api.set(row.reply, nil)
			got := c.sendLast(t, row.request)
			checkBytes(t, strings.Replace(got, "Connection: close\r\n", "", 1), row.want)
		})
	}
	t.Run("keep-alive", func(t *testing.T) {
		c.api.set(okResponse, nil)
		app, got := c.send(t, keepAlive)
		checkFrom(t, got, 200, "ok")
		if got := got.Header.Get("Connection"); got != "keep-alive" {
			t.Errorf("got Connection: %q, want keep-alive", got)
		}
		app.Send(keepAlive)
		checkFrom(t, app.Next("GET"), 200, "ok")
	})
	// With a length, the app sees by itself that bytes are missing.
	for name, reply := range map[string]string{
		"chunked":   chunked + "2\r\nok\r\n",
		"long JSON": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 70000\r\n\r\n{",
		"JSON":      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"bad chunk": chunked + "2\r\nok\r\n-1\r\n",
	} {
		t.Run("broken "+name, func(t *testing.T) {
			c.api.set(reply, (*apiConn).finish)
			app := c.Dial(t)
			app.Send(request)
			if _, err := io.Copy(io.Discard, app.Reader); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v after %q, want a reset", err, app.Seen.String())
			}
		})
	}
}

func TestContract11InformationalResponses(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer, "BROKER_UPSTREAM_TIMEOUT=300ms")
	const hint = "HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n"
	const last = "HTTP/1.1 200 OK\r\n" + dateField + "Content-Length: 2\r\n\r\nok"
	for name, row := range map[string]struct{ reply, want string }{
		"hop-by-hop": {"HTTP/1.1 103 Early Hints\r\nConnection: close, X-N\r\nX-N: 1\r\nKeep-Alive: 1\r\nUpgrade: h2c\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\n\r\n" + last, hint + last},
		"102, 199":   {"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n" + last, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n" + last},
		"100":        {"HTTP/1.1 100 Continue\r\n\r\n" + last, last},
		"32":         {strings.Repeat(hint, 32) + last, strings.Repeat(hint, 32) + last},
	} {
		t.Run(name, func(t *testing.T) {
			c.api.set(row.reply, nil)
			app, _ := c.send(t, brokertest.PlainRequest("GET /x"))
			checkBytes(t, app.Seen.String(), row.want)
		})
	}
	for name, row := range map[string]struct {
		reply  string
		status int
	}{
		"33":                         {strings.Repeat(hint, 33) + last, 502},
		"100 times 100":              {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100) + last, 502},
		"unrequested 101":            {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502},
		"103 and nothing":            {hint, 504},
		"103 and nonsense":           {hint + "nonsense\r\n\r\n", 502},
		"1xx do not extend the wait": {strings.Repeat(hint, 3), 504},
	} {
		t.Run(name, func(t *testing.T) {
			c.api.set(row.reply, nil)
			app, got := c.send(t, brokertest.PlainRequest("GET /x"))
			checkOwn(t, got, row.status)
			if got.Header.Get("X-A") != "" {
				t.Errorf("got the fields %v, want none of the informational response's", got.Header)
			}
			c.api.set(okResponse, nil)
			app.Send(brokertest.PlainRequest("GET /x"))
			checkFrom(t, app.Next("GET"), 200, "ok")
		})
	}
}

// X6. All rows are in proxy/http1.
func TestContract12FramingOfResponses(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer)
	for name, row := range map[string]struct {
		reply string
		body  string // of a 200; empty for an own 502
	}{
		"equal lengths":             {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "ok"},
		"length and chunked":        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"},
		"blank before the colon":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"},
		"… of Content-Length":       {"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", "ok"},
		"line ends of LF":           {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "ok"},
		"folded line":               {"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok", "ok"},
		"no reason":                 {"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok"},
		"blank behind a chunk size": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n", "ok"},
		"chunked in any case":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: \tChUnKeD \r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"},
		"Trailer: Content-Length":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok"},
		"header of 200 KiB":         {"HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 200<<10) + "\r\nContent-Length: 2\r\n\r\nok", "ok"},
		"header of 260 KiB":         {"HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 260<<10) + "\r\nContent-Length: 2\r\n\r\nok", ""},
		"differing lengths":         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", ""},
		"list of lengths":           {"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", ""},
		"sign":                      {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", ""},
		"length and bad length":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n2\r\nok\r\n0\r\n\r\n", ""},
		"gzip":                      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", ""},
		"two codings":               {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", ""},
		"chunked in HTTP/1.0":       {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", ""},
		"status 099":                {"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok", ""},
		"status 1000":               {"HTTP/1.1 1000 OK\r\nContent-Length: 2\r\n\r\nok", ""},
		"bare CR":                   {"HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\nok", ""},
		"NUL":                       {"HTTP/1.1 200 OK\r\nX-A: \x00\r\nContent-Length: 2\r\n\r\nok", ""},
		"no colon":                  {"HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 2\r\n\r\nok", ""},
		"ICY":                       {"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", ""},
		"HTTP/0.9":                  {"ok", ""},
		"nothing":                   {"\r\n", ""},
		"header without its end":    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.api.set(row.reply, (*apiConn).finish)
			app, got := c.send(t, brokertest.PlainRequest("GET /x"))
			if row.body != "" {
				checkFrom(t, got, 200, row.body)
			} else {
				checkOwn(t, got, 502)
			}
			c.api.set(okResponse, nil)
			app.Send(brokertest.PlainRequest("GET /next"))
			checkFrom(t, app.Next("GET"), 200, "ok")
		})
	}
}

func TestContract13BrokenResponsesHaveNoCleanEnd(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer)
	const plain = "HTTP/1.1 200 OK\r\n" + dateField + "Transfer-Encoding: chunked\r\n\r\n"
	const json = "HTTP/1.1 200 OK\r\n" + dateField + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, head := range []string{plain, json} {
		for name, fault := range map[string]string{
			"end":             "",
			"half a chunk":    "5\r\nhe",
			"LF":              "2\nhe\r\n0\r\n\r\n",
			"no CRLF":         "2\r\nhe0\r\n\r\n",
			"too long":        "2\r\nhello\r\n0\r\n\r\n",
			"sign":            "-1\r\n\r\n",
			"0x":              "0x2\r\nhe\r\n0\r\n\r\n",
			"no size":         "\r\nhe\r\n0\r\n\r\n",
			"long size":       "10000000000000002\r\nhe\r\n0\r\n\r\n",
			"LF in extension": "2;a\nb\r\nhe\r\n0\r\n\r\n",
			"long extension":  "2;" + strings.Repeat("a", 5000) + "\r\nhe\r\n0\r\n\r\n",
			"LF in trailers":  "0\r\nX-T: 1\n\r\n",
			"no colon":        "0\r\nX-T\r\n\r\n",
			"long trailers":   "0\r\nX-T: " + strings.Repeat("a", 5000) + "\r\n\r\n",
			"half a trailer":  "0\r\nX-T: 1\r\n",
		} {
			t.Run(name, func(t *testing.T) {
				c.api.set(head+"3\r\n[1,\r\n"+fault, (*apiConn).finish) // the first chunk in the same segment
				got := c.sendLast(t, brokertest.PlainRequest("GET /x"))
				end := strings.LastIndex(got, "\r\n0\r\n")
				if !strings.Contains(got, "\r\n\r\n3\r\n[1,\r\n") && !strings.Contains(got, "\r\n[1,") || end >= 0 || strings.Contains(got, "problem") {
					t.Errorf("got %q, want what arrived before the fault, and no end", got)
				}
			})
		}
	}
	if line := waitForStatus(t, c.Logs, 200); line["broken"] != true {
		t.Errorf("got the log line %v, want broken", line)
	}
	t.Run("length", func(t *testing.T) {
		c.api.set("HTTP/1.1 200 OK\r\n"+dateField+"Content-Length: 5\r\n\r\nhe", (*apiConn).finish)
		checkBytes(t, c.sendLast(t, brokertest.PlainRequest("GET /x")), "HTTP/1.1 200 OK\r\n"+dateField+"Content-Length: 5\r\n\r\nhe")
	})
}

func TestContract14ReadableConnectionsAreNotReused(t *testing.T) {
	t.Parallel()
	const second = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"
	c := startContract(t, nil)
	for name, row := range map[string]struct{ method, reply string }{
		"second response":    {"GET", okResponse + second},
		"extra bytes":        {"GET", okResponse + "x"},
		"line end":           {"GET", okResponse + "\r\n"},
		"408":                {"GET", okResponse + "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"},
		"body behind HEAD":   {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(len(second)) + "\r\n\r\n" + second},
		"body behind 204":    {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: " + fmt.Sprint(len(second)) + "\r\n\r\n" + second},
		"chunked behind 204": {"GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n" + second},
		"body behind 304":    {"GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n" + second},
	} {
		for _, separate := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, separate %t", name, separate), func(t *testing.T) {
				app := c.Dial(t)
				app.Send(brokertest.PlainRequest(row.method + " /x"))
				api := c.api.accept(t)
				api.head()
				first, extra := row.reply, ""
				if separate {
					end := strings.Index(first, "\r\n\r\n") + len("\r\n\r\n")
					if strings.HasPrefix(first, okResponse) {
						end = len(okResponse)
					}
					first, extra = first[:end], first[end:]
				}
				api.send(first)
				if got := app.Next(row.method); got.Err != nil {
					t.Fatal(got.Err)
				}
				api.send(extra) // is readable when the write returns: this is the loopback interface
				app.Send(brokertest.PlainRequest("GET /next"))
				fresh := c.api.accept(t)
				if head, _ := fresh.head(); !strings.HasPrefix(head, "GET /next ") {
					t.Errorf("got %q at the API, want the next request on a fresh connection", head)
				}
				fresh.send(okResponse)
				checkFrom(t, app.Next("GET"), 200, "ok")
				fresh.finish()
			})
		}
	}
}
