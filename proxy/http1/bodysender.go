package http1

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrRequestBody is returned by RoundTrip if the request's Stream failed or ended early. It wraps the error of the stream.
var ErrRequestBody = errors.New("the request body broke off")

// continueTimeout is how long "100 Continue" is awaited: RFC 9110 section 10.1.1 requires that it is not awaited for ever.
const continueTimeout = time.Second

// bodySender sends a request body that arrives while it is sent, or is long, on a goroutine of its own.
type bodySender struct {
	upstream *upstreamConn
	stream   Stream
	buffer   outputBuffer
	proceed  chan bool     // whether to send the body, once that is known; nil if it is sent at once
	done     chan struct{} // closed at the end

	// These are guarded by the connection's mutex.
	answered  bool // RoundTrip awaits no response any more
	lastWrite bool // the whole body has been read, and the rest of it is being written
}

// startBodySender starts to send a body after the header was sent. length is -1 for chunked, and not 0.
func (u *upstreamConn) startBodySender(stream Stream, length int64, expectContinue bool) {
	u.bodySender = &bodySender{upstream: u, stream: stream, done: make(chan struct{})}
	if u.bodySender.buffer = (outputBuffer{framing: byLength, remaining: length}); length < 0 {
		u.bodySender.buffer.framing = byChunks
	}
	if expectContinue {
		u.bodySender.proceed = make(chan bool, 1)
	}
	go u.bodySender.run()
}

// endContinueWait ends the wait for "100 Continue". If it is called twice before the goroutine looks, the first call counts.
func (s *bodySender) endContinueWait(proceed bool) {
	select {
	case s.proceed <- proceed:
	default:
	}
}

// responseArrived is called when the final response has arrived: a body that was not begun is not sent.
func (s *bodySender) responseArrived() {
	s.upstream.mu.Lock()
	s.answered = true
	s.upstream.mu.Unlock()
	s.endContinueWait(false)
}

// stop waits for the end, and brings it about unless the last bytes are being written: an upstream that has read the whole body
// may answer before the write returns.
func (s *bodySender) stop() {
	u := s.upstream
	s.endContinueWait(false)
	u.mu.Lock()
	ending := s.lastWrite || u.sendErr != nil
	if ending {
		_ = u.conn.SetWriteDeadline(time.Now().Add(lateResponseTimeout))
	}
	u.mu.Unlock()
	if !ending {
		_ = u.socket.Close()
		s.stream.Interrupt()
	}
	<-s.done
}

// run sends the body, records the result, and hastens the end of RoundTrip if that is still waiting.
func (s *bodySender) run() {
	defer close(s.done)
	err := s.send()
	u := s.upstream
	u.mu.Lock()
	defer u.mu.Unlock()
	switch u.sendErr = err; {
	case errors.Is(err, ErrRequestBody):
		_ = u.socket.Close() // the upstream must not take what it has for the whole, nor wait for more
	case s.answered:
	case err != nil:
		_ = u.conn.SetReadDeadline(time.Now().Add(lateResponseTimeout))
	default:
		_ = u.conn.SetReadDeadline(u.client.deadline())
	}
}

func (s *bodySender) send() error {
	if s.proceed != nil {
		timer := time.AfterFunc(continueTimeout, func() { s.endContinueWait(true) })
		defer timer.Stop()
		if !<-s.proceed {
			return errors.New("the upstream answered before the request body was sent")
		}
	}
	u, b := s.upstream, &s.buffer
	defer b.release()
	for {
		n, err := s.stream.Read(b.freeSpace())
		b.commit(n)
		isEnd := errors.Is(err, io.EOF)
		last := b.framing == byLength && b.remaining == 0 || b.framing == byChunks && isEnd
		switch {
		case last && b.framing == byChunks:
			b.out = appendLastChunk(b.out, s.stream.Trailer())
		case last:
		case isEnd:
			return fmt.Errorf("%w: %w", ErrRequestBody, io.ErrUnexpectedEOF)
		case err != nil || b.err != nil:
			return fmt.Errorf("%w: %w", ErrRequestBody, cmp.Or(err, b.err))
		case len(b.out) == 0:
			continue
		}
		u.mu.Lock()
		s.lastWrite = last
		_ = u.conn.SetWriteDeadline(u.client.deadline())
		u.mu.Unlock()
		if _, err := u.conn.Write(b.out); err != nil {
			return fmt.Errorf("sending the request body: %w", err)
		}
		if last {
			return nil
		}
		b.out = b.out[:0]
	}
}

// bytesStream is a Stream of bytes that are known.
type bytesStream struct{ *bytes.Reader }

// Trailer implements Stream.
func (bytesStream) Trailer() Fields { return nil }

// Interrupt implements Stream. Read never blocks.
func (bytesStream) Interrupt() {}
