package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/proxy"
)

// A client that has closed only its sending side still reads: it must not get a success that the API did not send.
func TestHalfClosedClientGetsNoSuccess(t *testing.T) {
	answer := make(chan struct{})
	defer close(answer)
	b := start(t, serve(t, h1, func(w http.ResponseWriter, _ *http.Request) {
		<-answer
		w.WriteHeader(http.StatusCreated)
	}))
	for _, request := range []string{
		"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi",
	} {
		c := b.dial(t)
		c.send(request)
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		whole, _ := io.ReadAll(c.Reader)
		if len(whole) > 0 {
			t.Errorf("got %q, want a closed connection without a response", whole)
		}
		if r := b.record(t); r.Status != proxy.StatusClientClosedRequest {
			t.Errorf("got %+v, want StatusClientClosedRequest", r)
		}
	}
}

func TestRefusesInvalidStatus(t *testing.T) {
	for _, status := range []string{"000", "001", "099"} {
		c := start(t, "http://"+startRawUpstream(t, afterRequest("HTTP/1.1 "+status+" X\r\nContent-Length: 0\r\n\r\n"))).dial(t)
		c.send("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
		wantProblem(t, c.result("GET"), 502, "http_protocol_error")
	}
}

// HTTP/1.0 has no 1xx: an old client would take it for the final response.
func TestSendsNoInformationalResponseToHTTP10(t *testing.T) {
	addr := startRawUpstream(t, func(c net.Conn, r *bufio.Reader) {
		afterRequest("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(c, r)
	})
	c := start(t, "http://"+addr).dial(t)
	c.send("GET /x HTTP/1.0\r\nHost: localhost\r\n\r\n")
	whole, err := io.ReadAll(c.Reader)
	if err != nil || !strings.HasPrefix(string(whole), "HTTP/1.0 200 OK") {
		t.Errorf("got %q, %v, want only the final response", whole, err)
	}
}
