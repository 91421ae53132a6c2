package wire

import (
	"bytes"
	"net/url"

	"etrusted-broker/internal/hostport"
)

// validTarget reports whether net/http accepts a request's target, and the host in it is as strict as one in a Host header.
// net/http itself answers what it does not accept with a bare 400.
func validTarget(method, target []byte) bool {
	if target[0] == '/' {
		return wellEscaped(target)
	}
	raw := string(target)
	if string(method) == connect { // the authority-form of RFC 9112 section 3.2.3
		_, err := url.ParseRequestURI("http://" + raw)
		return err == nil && isHost(raw)
	}
	u, err := url.ParseRequestURI(raw)
	return err == nil && (u.Host == "" || isHost(u.Host))
}

func isHost(text string) bool {
	_, _, ok := hostport.Split(text)
	return ok
}

const connect = "CONNECT"

// wellEscaped is all that url.ParseRequestURI asks of a target that begins with a slash. To call it would cost several
// allocations for every request.
func wellEscaped(target []byte) bool {
	path, _, _ := bytes.Cut(target, []byte{'?'})
	for {
		at := bytes.IndexByte(path, '%')
		if at < 0 {
			return true
		}
		if len(path) < at+3 {
			return false
		}
		_, high := hexValue(path[at+1])
		_, low := hexValue(path[at+2])
		if !high || !low {
			return false
		}
		path = path[at+3:]
	}
}
