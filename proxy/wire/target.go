package wire

import (
	"bytes"
	"net/url"
)

// validTarget reports whether net/http will take a request's target, as its readRequest would find out. net/http's own
// answer to one that it does not take is a bare 400.
func validTarget(method, target []byte) bool {
	if target[0] == '/' {
		return wellEscaped(target)
	}
	raw := string(target)
	if string(method) == connect {
		raw = "http://" + raw // the authority-form of RFC 9112 section 3.2.3
	}
	_, err := url.ParseRequestURI(raw)
	return err == nil
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
