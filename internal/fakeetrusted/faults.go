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
	header = header.Clone() // the caller may go on using it
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = append([]string(nil), values...)
		}
		w.WriteHeader(code)
	})
}

// Answer answers with code and body. An empty contentType sends no Content-Type at all, which net/http would otherwise
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

// OAuthError answers with code and the JSON of RFC 6749, section 5.2. It bears a description, as most servers' do.
func OAuthError(code int, errorCode string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answerOAuthError(w, code, errorCode, "the stand-in was told to refuse")
	})
}

// EchoSecret is a nasty login server: it refuses with an OAuth error whose error and error_description, as well as the
// headers X-Rejected-Client and WWW-Authenticate, repeat the client_id and client_secret that were sent. Whoever logs any
// part of such an answer has leaked the secret.
func EchoSecret(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		echo := r.PostFormValue("client_id") + " / " + r.PostFormValue("client_secret")
		w.Header().Set("X-Rejected-Client", echo)
		w.Header().Set("WWW-Authenticate", "Basic realm="+strconv.Quote(echo))
		answerOAuthError(w, code, "invalid_client: "+echo, "no such client: "+echo)
	})
}

// Redirect answers with code (say 307, which would carry the form along) and a Location, without a body.
func Redirect(code int, location string) http.Handler {
	return Status(code, http.Header{"Location": {location}})
}

// Hang never answers. It waits until the request's context is done, that is until the client has gone away, and then
// breaks the connection with panic(http.ErrAbortHandler), for returning would be a 200.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		// net/http notices that a client went away only once the body has been read.
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
}

// Drip answers 200 with body as application/json, without a Content-Length: the header and the first byte at once, each
// further byte after a pause, all flushed. It gives up when the request's context is done.
func SlowBody(body string, every time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		flush(w)
		for i := range len(body) {
			if i > 0 {
				pause(r.Context(), every)
			}
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler) // returning would end the body as if it were whole
			}
			_, _ = io.WriteString(w, body[i:i+1])
			flush(w)
		}
	})
}

// BreakOff answers 200 and promises a body longer than after bytes, but breaks the connection after these, which are
// flushed, with panic(http.ErrAbortHandler).
func Truncate(after int) http.Handler {
	const missing = 1000
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(after+missing))
		w.WriteHeader(http.StatusOK)
		// White space: what has arrived is the beginning of valid JSON, so only the length tells.
		_, _ = io.WriteString(w, strings.Repeat(" ", after))
		flush(w)
		panic(http.ErrAbortHandler)
	})
}

// flush sends what was written so far. Where the writer cannot, as in a ResponseRecorder of old, there is nothing to do.
func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// answerOAuthError writes the error answer of RFC 6749, section 5.2.
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
