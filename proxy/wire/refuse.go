package wire

import (
	"bytes"
	"io"
)

// refuse puts a request of the Listener's own in place of the one that is at fault, so that it is net/http that calls the
// handler, after the requests before it have been answered. The request begins with what net/http may have seen already;
// it is given those bytes also if it has not, so that the same request has the same end however it was cut on its way.
func (c *conn) refuse(fault *RequestError) {
	var seen []byte
	if c.part == inHead {
		seen = c.buffer.kept()[:min(foretaste, c.head.seen)]
	}
	c.replace(c.buffer.from+len(seen), completion(seen)+marker+": "+fault.Code+"\r\nConnection: close\r\n\r\n")
}

// completion is what makes a request line of the first bytes of one, and a host. It has the method that was asked for
// where that is short enough to be seen, so that HEAD is answered as HEAD.
//
// There are first bytes that cannot be completed, such as "X *y": those net/http answers with a 400 of its own.
func completion(seen []byte) string {
	const rest = " HTTP/1.1\r\nHost: localhost\r\n"
	_, target, blank := bytes.Cut(seen, []byte{' '})
	switch {
	case len(seen) == 0:
		return "GET /" + rest
	case !blank:
		return " /" + rest
	case len(target) == 0:
		return "/" + rest
	case target[len(target)-1] == ' ':
		return rest[1:]
	default:
		return rest
	}
}

// replace puts text in place of all that is in the buffer from the index at on, and of all that would come after that.
func (c *conn) replace(at int, text string) {
	c.buffer.cutOff(at, text)
	c.stop()
}

// stop ends what can be read after what is ready.
func (c *conn) stop() {
	c.end = io.EOF
	c.turn.stopped()
}
