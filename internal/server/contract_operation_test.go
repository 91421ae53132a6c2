package server

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
)

// What stalled readers cost is in TestMemoryOfStalledReadersIsBounded, and other ways to stall are in attack_slow_test.go.
func TestContract23TheLongestStalledMakesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 4
		b := newAttackBubble(t, connectionLimits{app: limit, admin: 4}, nil)
		closed := make(chan int, limit)
		for i := range limit {
			b.attack(b.app, 1, func(conn net.Conn) {
				_, _ = io.WriteString(conn, "GET /")
				readUntilClosed(conn)
				closed <- i
			})
			time.Sleep(time.Second)
		}
		if _, status := b.get(b.app, "/channels"); status != http.StatusOK {
			t.Errorf("got status %d, want 200", status)
		}
		synctest.Wait()
		select {
		case got := <-closed:
			if got != 0 {
				t.Errorf("connection %d was closed first, want the oldest", got)
			}
		default:
			t.Error("no connection was closed, want the oldest")
		}
	})
	if got := limitsFor(1_000_000, 1<<62, memoryPerAppConnection).app; got != 2048 {
		t.Errorf("got %d connections at most, want 2,048", got)
	}
}

func TestContract24ShutdownFinishesRequests(t *testing.T) {
	t.Parallel()
	c := startContract(t, nil)
	idle, apiOfIdle := c.Dial(t), (*apiConn)(nil)
	idle.Send(brokertest.PlainRequest("GET /idle"))
	apiOfIdle = c.api.accept(t)
	apiOfIdle.head()
	begin := func(request string) (*brokertest.RawConn, *apiConn) { // apiOfIdle is busy, so each gets its own connection
		app := c.Dial(t)
		app.Send(request)
		api := c.api.accept(t)
		api.head()
		return app, api
	}
	inFlight, apiInFlight := begin(brokertest.PlainRequest("GET /in-flight") + brokertest.PlainRequest("GET /pipelined"))
	streaming, apiStreaming := begin(brokertest.PlainRequest("GET /streaming"))
	apiStreaming.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
	upload, apiUpload := begin(brokertest.PlainRequest("POST /upload", "Transfer-Encoding: chunked") + "2\r\nab\r\n")
	header := c.Dial(t)
	header.Send("GET /header HTTP/1.1\r\n")
	apiOfIdle.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	checkFrom(t, idle.Next("GET"), 200, "ok")

	c.Terminate()
	if _, err := io.ReadAll(idle.Reader); err != nil { // closed before the others have ended
		t.Errorf("the idle connection: got %v, want its end", err)
	}
	if conn, err := net.Dial("tcp", c.addr); err == nil {
		_ = conn.Close()
		t.Error("the listener accepts a connection, want it closed")
	}
	last := func(app *brokertest.RawConn, method, body string, says bool) {
		t.Helper()
		checkFrom(t, app.Next(method), 200, body)
		if text := app.Seen.String(); says && !strings.Contains(text, "\r\nConnection: close\r\n") {
			t.Errorf("got %q, want Connection: close", text)
		}
		if got := app.Rest(t); len(got) > 0 {
			t.Errorf("got the further statuses %v, want the connection closed", got)
		}
	}
	apiInFlight.send(okResponse)
	last(inFlight, "GET", "ok", true)
	apiStreaming.send("2\r\ncd\r\n0\r\n\r\n")
	last(streaming, "GET", "abcd", false)
	upload.Send("0\r\n\r\n")
	checkBytes(t, readText(t, apiUpload, len("2\r\nab\r\n0\r\n\r\n")), "2\r\nab\r\n0\r\n\r\n")
	apiUpload.send(okResponse)
	last(upload, "POST", "ok", true)
	header.Send("Host: localhost\r\n\r\n")
	head, _ := apiUpload.head() // the connection that was used last is used again
	if !strings.HasPrefix(head, "GET /header ") {
		t.Errorf("got %q at the API, want the last request", head)
	}
	apiUpload.send(okResponse)
	last(header, "GET", "ok", true)
	if got := c.Wait(); got != 0 {
		t.Errorf("got exit code %d, want 0", got)
	}
}

func TestContract25OwnAnswersAreProblems(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer, "BROKER_UPSTREAM_TIMEOUT=100ms", "BROKER_ALLOW=GET /", "BROKER_TOKEN_ENDPOINT=true")
	denied := func() (total float64) {
		for line := range strings.Lines(brokertest.Get(t, c.Admin+"/metrics").Body) {
			if strings.HasPrefix(line, "etrusted_broker_requests_denied_total{") {
				var n float64
				_, _ = fmt.Sscan(line[strings.LastIndexByte(line, ' '):], &n)
				total += n
			}
		}
		return total
	}
	for name, row := range map[string]struct {
		request, reply string
		status         int
		denied         float64
	}{
		"malformed":         {brokertest.PlainRequest("GET /x", "A"), "", 400, 1},
		"Trailer":           {brokertest.PlainRequest("GET /x", "Trailer: Trailer"), "", 400, 1},
		"Expect":            {brokertest.PlainRequest("GET /x", "Expect: a"), "", 417, 1},
		"long":              {brokertest.PlainRequest("GET /x", "A: "+strings.Repeat("a", 70_000)), "", 431, 1},
		"version":           {"GET /x HTTP/3.0\r\n\r\n", "", 505, 1},
		"path":              {brokertest.PlainRequest("GET /a/../b"), "", 400, 1},
		"host":              {"GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n", "", 421, 1},
		"web page":          {brokertest.PlainRequest("GET /x", "Origin: null"), "", 403, 1},
		"allow list":        {brokertest.PlainRequest("DELETE /x"), "", 403, 1},
		"method":            {brokertest.PlainRequest("TRACE /x"), "", 405, 1},
		"account":           {brokertest.PlainRequest("GET /@nobody/x"), "", 404, 0},
		"loop":              {brokertest.PlainRequest("GET /x", "Via: 1.1 etrusted-broker"), "", 508, 0},
		"broken body":       {brokertest.PlainRequest("GET /x", "Transfer-Encoding: chunked") + "x\r\n", "", 400, 0},
		"API sends no HTTP": {brokertest.PlainRequest("GET /x"), "x\r\n\r\n", 502, 0},
		"API is silent":     {brokertest.PlainRequest("GET /x"), "HTTP/1.1 ", 504, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.api.set(row.reply, nil)
			logged, counted := len(c.Logs.Lines("request")), denied()
			_, got := c.send(t, row.request)
			checkOwn(t, got, row.status)
			var problem struct {
				Type, Title, Detail string
				Status              int
			}
			if err := json.Unmarshal([]byte(got.Body), &problem); err != nil || problem.Status != row.status || problem.Type == "" || problem.Title == "" || problem.Detail == "" {
				t.Errorf("got %q, %v, want all members of a problem", got.Body, err)
			}
			brokertest.WaitRecorded(t, c.Admin)
			if line := c.Logs.Lines("request")[logged]; line["status"] != float64(row.status) || line["problem"] == "" {
				t.Errorf("got the log line %v, want status %d and the problem", line, row.status)
			}
			if got := denied() - counted; got != row.denied {
				t.Errorf("got %v more denied requests in the metrics, want %v", got, row.denied)
			}
		})
	}
	t.Run("token endpoint", func(t *testing.T) {
		_, got := c.send(t, brokertest.PlainRequest("POST /oauth/token", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 15")+"grant_type=other")
		if got.Status != 400 || !strings.Contains(got.Body, `"error":"unsupported_grant_type"`) {
			t.Errorf("got %+v, want 400 and an error of RFC 6749 section 5.2", got)
		}
	})
}

// writeCertificate writes a pair that a new CA has signed, and returns the variables for it and the configuration of a client.
func writeCertificate(t *testing.T) (environ []string, client *tls.Config) {
	t.Helper()
	ca, dir := brokertest.NewCA(t, "servers"), t.TempDir()
	cert, key := ca.Issue("broker", time.Hour)
	for name, text := range map[string][]byte{"tls.crt": cert, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"BROKER_TLS_CERT_FILE=" + filepath.Join(dir, "tls.crt"), "BROKER_TLS_KEY_FILE=" + filepath.Join(dir, "tls.key")},
		&tls.Config{RootCAs: brokertest.CertPool(ca), ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}}
}

func TestContractOfTLSListener(t *testing.T) {
	t.Parallel()
	environ, config := writeCertificate(t)
	c := startContract(t, nil, environ...)
	t.Run("plain HTTP", func(t *testing.T) {
		app, got := c.send(t, brokertest.PlainRequest("GET /x"))
		checkOwn(t, got, 400)
		if !strings.Contains(got.Body, "expects TLS") || !strings.Contains(got.Body, "https") {
			t.Errorf("got %q, want what is wrong and what to do", got.Body)
		}
		if got := app.Rest(t); len(got) > 0 {
			t.Errorf("got the further statuses %v, want the connection closed", got)
		}
	})
	t.Run("failed handshakes", func(t *testing.T) {
		for range 10 {
			app := c.Dial(t)
			app.Send("\x00\x01\x02\x03\x04\x05\x06\x07")
			_, _ = io.Copy(io.Discard, app.Reader)
		}
		const message = "TLS handshake with an app failed: check that it trusts the broker's certificate and, if BROKER_TLS_CLIENT_CA_FILE is set, sends its own"
		if got := len(c.Logs.Lines(message)); got != 1 {
			t.Errorf("got %d log lines about ten handshakes, want 1 a minute", got)
		}
		if text := brokertest.Get(t, c.Admin+"/metrics").Body; !strings.Contains(text, `handshake"} 10`) {
			t.Error("the metrics do not count ten failed handshakes")
		}
	})
	t.Run("close_notify ends the exchange", func(t *testing.T) { // line 15
		app := c.Dial(t)
		secure := tls.Client(app.Conn, config)
		_, _ = io.WriteString(secure, brokertest.PlainRequest("GET /x"))
		api := c.api.accept(t)
		api.head()
		if got := secure.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Errorf("got the protocol %q, want http/1.1", got)
		}
		if err := secure.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := api.rest(); got != "" {
			t.Errorf("got %q at the API, want the end", got)
		}
		waitForStatus(t, c.Logs, 499)
	})
}

func TestContractOfListeners(t *testing.T) {
	t.Parallel()
	t.Run("localhost", func(t *testing.T) {
		c := startContract(t, answer, "BROKER_LISTEN=localhost:0")
		_, port, _ := net.SplitHostPort(c.addr)
		for _, ip := range []string{"127.0.0.1", "::1"} {
			l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
			if err != nil {
				t.Logf("this machine has no %s", ip)
				continue
			}
			_ = l.Close()
			app := brokertest.DialRaw(t, net.JoinHostPort(ip, port))
			app.Send(brokertest.PlainRequest("GET /x"))
			checkFrom(t, app.Next("GET"), 200, "ok")
		}
	})
	t.Run("any Host on a Unix socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "broker")
		c := startContract(t, answer, "BROKER_LISTEN=unix://"+path)
		for _, host := range []string{"localhost", "example.com", "a_b", ""} {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			app := brokertest.NewRawConn(conn)
			app.Send("GET /x HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
			checkFrom(t, app.Next("GET"), 200, "ok")
			_ = conn.Close()
			if got := fieldOf(c.api.takeOne(t), "Host"); got != c.api.host {
				t.Errorf("got Host %q at the API, want its own", got)
			}
		}
	})
	t.Run("h2c is ignored", func(t *testing.T) {
		c := startContract(t, answer)
		for _, agent := range []string{"curl/8", "Java-http-client/21", "x"} {
			_, got := c.send(t, brokertest.PlainRequest("GET /x", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "User-Agent: "+agent))
			checkFrom(t, got, 200, "ok")
		}
		for _, protocol := range []string{"websocket", "h2c, websocket", "", "TLS/1.0"} {
			_, got := c.send(t, brokertest.PlainRequest("GET /x", "Connection: Upgrade", "Upgrade: "+protocol))
			checkOwn(t, got, 403)
		}
	})
}

func TestContractOfLinkRewriting(t *testing.T) {
	t.Parallel()
	c := startContract(t, answer)
	link := `{"next":"http://` + c.api.host + `/reviews"}`
	const fields = dateField + "Content-Type: application/json\r\nETag: \"1\"\r\nAccept-Ranges: bytes\r\n"
	ok := fmt.Sprintf("HTTP/1.1 200 OK\r\n"+fields+"Content-Length: %d\r\n\r\n", len(link))
	head := strings.Replace(ok, "ETag: ", "ETag: W/", 1)
	head = strings.Replace(head, "Accept-Ranges: bytes\r\n", "", 1)
	head = head[:strings.Index(head, "Content-Length")]
	here := `{"next":"http://localhost/reviews"}`
	for name, row := range map[string]struct{ request, reply, want string }{
		"GET":          {"GET /x", ok + link, head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(here)) + here},
		"HEAD":         {"HEAD /x", ok, head + "\r\n"},
		"304":          {"GET /x", "HTTP/1.1 304 Not Modified\r\n" + dateField + "ETag: \"1\"\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n" + dateField + "ETag: W/\"1\"\r\n\r\n"},
		"no-transform": {"GET /x", strings.Replace(ok, "ETag", "Cache-Control: no-transform\r\nETag", 1) + link, strings.Replace(ok, "ETag", "Cache-Control: no-transform\r\nETag", 1) + link},
		"other type":   {"GET /x", strings.Replace(ok, "/json", "/pdf", 1) + link, strings.Replace(ok, "/json", "/pdf", 1) + link},
	} {
		t.Run(name, func(t *testing.T) {
			c.api.set(row.reply, nil)
			app, _ := c.send(t, brokertest.PlainRequest(row.request))
			checkBytes(t, app.Seen.String(), row.want)
		})
	}
	t.Run("Range", func(t *testing.T) {
		c.api.set(okResponse, nil)
		c.api.take()
		c.send(t, brokertest.PlainRequest("GET /x", "Range: bytes=0-1", "If-Range: \"1\"", "If-Match: W/\"1\""))
		got := c.api.takeOne(t)
		if fieldOf(got, "Range") != "" || fieldOf(got, "If-Range") != "" || fieldOf(got, "If-Match") != `"1"` {
			t.Errorf("got %q at the API, want no Range and If-Range, and If-Match with the strong tag", got)
		}
		off := startContract(t, answer, "BROKER_REWRITE_LINKS=false")
		off.send(t, brokertest.PlainRequest("GET /x", "Range: bytes=0-1", "If-Range: \"1\""))
		if got := off.api.takeOne(t); fieldOf(got, "Range") != "bytes=0-1" || fieldOf(got, "If-Range") != `"1"` {
			t.Errorf("got %q at the API, want Range and If-Range if links are not rewritten", got)
		}
	})
}
