package soak

import (
	"io"
	"net/http"
	"testing"
)

func TestOutcome(t *testing.T) {
	response := func(status int, fromBroker bool) *http.Response {
		r := &http.Response{StatusCode: status, Header: http.Header{}}
		if fromBroker {
			r.Header.Set("Proxy-Status", "etrusted-broker; error=connection_refused")
		}
		return r
	}
	for _, c := range []struct {
		response *http.Response
		body     string
		err      error
		want     string
	}{
		{nil, "", io.EOF, noResponse},
		{response(200, false), `{"id":"rev-1"}`, nil, succeeded},
		{response(201, false), `{"id":"rev-1"}`, nil, succeeded},
		{response(200, false), `{"id":"rev-2"}`, nil, wrongResponse},
		{response(200, false), `{"id":`, io.ErrUnexpectedEOF, brokenOff},
		{response(503, false), "", nil, "503 of the API"},
		{response(503, true), "", nil, "503 of the broker"},
		{response(401, false), "", nil, "401 of the API"},
	} {
		if got := outcome(c.response, []byte(c.body), c.err, "rev-1"); got != c.want {
			t.Errorf("outcome(%+v, %q, %v) = %q, want %q", c.response, c.body, c.err, got, c.want)
		}
	}
}
