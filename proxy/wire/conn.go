package wire

import (
	"errors"
	"io"
	"net"
)

// conn is a connection on which only whole and well-formed headers arrive.
//
// What Read uses has no lock: net/http reads from one goroutine at a time. Write, Close and the deadlines come from
// others, and touch none of it.
type conn struct {
	net.Conn
	listener *Listener
	turn     turn

	buffer buffer
	part   messagePart
	head   head
	body   int64 // how much of a body of known length is still to be read
	chunks chunked
	end    error // what Read returns once what is ready was handed on; nil if more may come
}

// messagePart is where in a request the next byte to be looked at is.
type messagePart uint8

const (
	betweenMessages messagePart = iota
	atEmptyLine                 // after the one empty line that may come before a request
	inHead
	inBody
	inChunks
)

// Read reads what net/http may see. A read never goes beyond the end of a message, so that what comes after it is not
// looked at before net/http asks for it, and the answer to what is at fault there comes in its turn.
//
// A Read that a deadline breaks off has lost nothing: net/http does that to the read that it has waiting in the background
// of every request. Only where a deadline passes in the middle of a header that net/http waits for is it a RequestError.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		c.look()
		if n := c.buffer.take(p); n > 0 {
			return n, nil
		}
		if c.end != nil {
			return 0, c.end
		}
		if left := c.content(); left > 0 {
			return c.readContent(p[:min(int64(len(p)), left)])
		}
		if err := c.fill(p); err != nil {
			return 0, err
		}
	}
}

// look looks at what is in the buffer, until some of it can be handed on.
func (c *conn) look() {
	for c.buffer.ready == c.buffer.given && c.end == nil {
		if c.part != inHead {
			c.buffer.release()
		}
		if !c.step() {
			return
		}
	}
}

// step looks at the current part of a message, and reports whether it got anywhere.
func (c *conn) step() bool {
	rest := c.buffer.rest()
	if len(rest) == 0 {
		return false
	}
	switch c.part {
	case betweenMessages, atEmptyLine:
		return c.lead()
	case inHead:
		return c.lookAtHead()
	case inBody:
		n := min(c.body, int64(len(rest)))
		c.buffer.ready += int(n)
		c.consume(n)
	case inChunks:
		c.lookAtChunks(rest)
	}
	return true
}

// lead lets one empty line pass before a request, as RFC 9112 section 2.2 asks: there are clients that end a body with
// it. net/http is not shown it.
func (c *conn) lead() bool {
	kept := c.buffer.kept()
	switch {
	case kept[0] != '\r':
		c.part, c.head = inHead, head{}
		c.turn.restart()
	case c.part == atEmptyLine:
		c.refuse(faultEmptyLines)
	case len(kept) == 1:
		return false
	case kept[1] != '\n':
		c.refuse(faultLineEnd)
	default:
		c.part = atEmptyLine
		c.buffer.skip(2)
	}
	return true
}

// foretaste is how much of a header is handed on before the rest is there. On a connection that was kept alive, net/http
// waits for so many bytes under IdleTimeout, and only then does ReadHeaderTimeout begin (the Peek(4) at the end of the
// loop in net/http's conn.serve): a header that is held back whole would have minutes to arrive.
const foretaste = 4

func (c *conn) lookAtHead() bool {
	kept := c.buffer.kept()
	if fault := c.head.scan(kept); fault != nil {
		c.refuse(fault)
		return true
	}
	before := c.buffer.ready
	if c.head.part == headEnd {
		c.buffer.ready = c.buffer.from + c.head.seen
		c.beginContent(kept)
	} else {
		c.buffer.ready = c.buffer.from + min(foretaste, c.head.seen)
	}
	return c.buffer.ready > before
}

// beginContent is after a header.
func (c *conn) beginContent(header []byte) {
	c.turn.requested()
	framing := &c.head.framing
	switch {
	case string(header[:c.head.methodEnd]) == connect:
		c.stop() // what follows is not HTTP
	case framing.chunked:
		c.part, c.chunks = inChunks, chunked{}
	case framing.length > 0:
		c.part, c.body = inBody, framing.length
	default:
		c.finishMessage()
	}
}

// consume counts bytes of a body of known length.
func (c *conn) consume(n int64) {
	c.body -= n
	if c.body == 0 {
		c.finishMessage()
	}
}

func (c *conn) lookAtChunks(rest []byte) {
	n, ok := c.chunks.scan(rest)
	c.buffer.ready += n
	switch {
	case !ok:
		c.replace(c.buffer.ready, poison)
	case c.chunks.part == bodyEnd:
		c.finishMessage()
	}
}

func (c *conn) finishMessage() {
	c.part = betweenMessages
	c.turn.restart()
}

// content is how much is to come of which each byte is content, and need not be looked at.
func (c *conn) content() int64 {
	switch {
	case c.part == inBody:
		return c.body
	case c.part == inChunks && c.chunks.part == inData:
		return c.chunks.remaining
	default:
		return 0
	}
}

// readContent reads content past the buffer, which is empty.
func (c *conn) readContent(p []byte) (int, error) {
	n, err := c.wait(p)
	if c.part == inBody {
		c.consume(int64(n))
	} else {
		c.chunks.data(n)
	}
	return n, err
}

// fill reads more into the buffer. p is where it waits for the first of it, so that the buffer needs no memory meanwhile.
func (c *conn) fill(p []byte) error {
	var n int
	var err error
	if c.buffer.isEmpty() {
		n, err = c.wait(p[:min(len(p), small)])
		c.buffer.put(p[:n])
	} else {
		n, err = c.wait(c.buffer.space())
		c.buffer.to += n
	}
	if n > 0 {
		return nil // a connection's error is still there at the next Read, and a deadline may have been lifted by then
	}
	if c.part == inHead && !c.turn.working() && isTimeout(err) {
		// net/http would take the foretaste for a whole line, and send a bare 400.
		c.refuse(faultSlow)
		return nil
	}
	if err == nil {
		return io.ErrNoProgress // it read nothing, and did not say why
	}
	return err
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// wait reads from the client, who is kept an eye on if it is his turn.
func (c *conn) wait(p []byte) (int, error) {
	if c.part < inBody && c.turn.working() {
		return c.Conn.Read(p) // net/http looks whether he is still there
	}
	return c.turn.read(c.Conn, p)
}

// Write writes to the client, whose turn it is for as long as that takes.
func (c *conn) Write(p []byte) (int, error) { return c.turn.write(c.Conn, p) }
