package fakeetrusted

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Status answers with code, the fields of header (may be nil), and an empty body.
func Status(code int, header http.Header) http.Handler {
	header = header.Clone() // the caller may modify it later
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = append([]string(nil), values...)
		}
		w.WriteHeader(code)
	})
}

// Answer answers with code and body. If contentType is empty, there is no Content-Type, which net/http would otherwise
// guess.
func Answer(code int, contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if contentType == "" {
			w.Header()["Content-Type"] = nil
		} else {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	})
}

// OAuthError answers with code and the JSON of RFC 6749, section 5.2, with a description as most servers send.
func OAuthError(code int, errorCode string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answerOAuthError(w, code, errorCode, "refused for a test")
	})
}

// EchoSecret answers with an OAuth error that repeats the client_id and client_secret in error, error_description and
// the headers X-Rejected-Client and WWW-Authenticate. Logging any part of it leaks the secret.
func EchoSecret(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		echo := r.PostFormValue("client_id") + " / " + r.PostFormValue("client_secret")
		w.Header().Set("X-Rejected-Client", echo)
		w.Header().Set("WWW-Authenticate", "Basic realm="+strconv.Quote(echo))
		answerOAuthError(w, code, "invalid_client: "+echo, "no such client: "+echo)
	})
}

// Redirect answers with code and a Location, without a body. With 307, a client that follows it sends the form again.
func Redirect(code int, location string) http.Handler {
	return Status(code, http.Header{"Location": {location}})
}

// Hang never answers. It waits until the client disconnects and then panics with http.ErrAbortHandler, because
// returning would send a 200.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		// net/http detects a disconnect only after the body has been read.
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
}

// SlowBody answers 200 with body as application/json and without Content-Length: the header and the first byte at once,
// each further byte after a pause. It stops when the request's context is done.
func SlowBody(body string, every time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		flush(w)
		for i := range len(body) {
			if i > 0 {
				sleep(r.Context(), every)
			}
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler) // returning would end the body regularly
			}
			_, _ = io.WriteString(w, body[i:i+1])
			flush(w)
		}
	})
}

// Truncate answers 200 with a Content-Length of more than after bytes, sends after bytes, and closes the connection.
func Truncate(after int) http.Handler {
	const missing = 1000
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(after+missing))
		w.WriteHeader(http.StatusOK)
		// White space is a prefix of valid JSON, so only the length reveals the truncation.
		_, _ = io.WriteString(w, strings.Repeat(" ", after))
		flush(w)
		panic(http.ErrAbortHandler)
	})
}

// flush sends what was written so far, if the writer supports it.
func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// answerOAuthError writes the error response of RFC 6749, section 5.2.
func answerOAuthError(w http.ResponseWriter, code int, errorCode, description string) {
	body := encode(struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}{errorCode, description})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
