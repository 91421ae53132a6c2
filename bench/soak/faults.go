package soak

import (
	"io"
	"net/http"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// reset closes the connection without an answer.
var reset = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })

// malformed answers with a header line that has no colon, and that is the token.
var malformed = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err) // the server speaks only HTTP/1.1
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+r.Header.Get("Authorization")+"\r\n\r\n")
})

// html answers as a proxy does that wants users to log in.
var html = fakeetrusted.Answer(http.StatusOK, "text/html", "<!doctype html><title>Log in</title>")

// slow answers as eTrusted does, after a delay.
func slow(e *eTrusted, delay time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(delay):
			e.Server.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}
