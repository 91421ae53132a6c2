package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ErrRequestBody is returned by RoundTrip if the request's Stream failed or ended early. It wraps the error of the stream.
var ErrRequestBody = errors.New("the request body broke off")

// errAnsweredEarly means that the final response came before the body was to be sent.
var errAnsweredEarly = errors.New("the upstream answered before the request body was sent")

// continueTimeout is how long "100 Continue" is awaited: RFC 9110 section 10.1.1 requires that it is not awaited for ever.
const continueTimeout = time.Second

// bodySender sends a request body that arrives while it is sent, or that the upstream may be slow to read, on a goroutine of
// its own.
type bodySender struct {
	upstream         *upstreamConn
	stream           Stream
	length           int64         // -1 for chunked
	continueReceived chan bool     // whether the upstream asks for the body, once that is known; nil if it is not awaited
	done             chan struct{} // closed at the end

	// These are guarded by the connection's mutex.
	responseReceived bool // RoundTrip awaits no response any more
	lastWrite        bool // the whole body has been read, and the rest of it is being written
	resultErr        error
}

// startBodySender starts to send a body after the header was sent. length is -1 for chunked, and not 0.
func startBodySender(u *upstreamConn, stream Stream, length int64, expectContinue bool) *bodySender {
	s := &bodySender{upstream: u, stream: stream, length: length, done: make(chan struct{})}
	if expectContinue {
		s.continueReceived = make(chan bool, 1)
	}
	go func() {
		defer close(s.done)
		s.setResult(s.run())
	}()
	return s
}

// endContinueWait is called for "100 Continue", and by stopAwaitingResponse. If both happen before the goroutine looks, the first
// counts.
func (s *bodySender) endContinueWait(wanted bool) {
	select {
	case s.continueReceived <- wanted:
	default:
	}
}

// stopAwaitingResponse is called once, when the final response has arrived, or there will be none: a body that was not begun is
// not sent.
func (s *bodySender) stopAwaitingResponse() {
	s.upstream.mu.Lock()
	defer s.upstream.mu.Unlock()
	s.responseReceived = true
	s.endContinueWait(false)
}

// result returns why the body was not sent, or nil.
func (s *bodySender) result() error {
	s.upstream.mu.Lock()
	defer s.upstream.mu.Unlock()
	return s.resultErr
}

// stop waits for the end, and brings it about unless the last bytes are being written: an upstream that has read the whole body
// may answer before the write returns. It reports whether the whole body was sent.
func (s *bodySender) stop() bool {
	s.upstream.mu.Lock()
	ending := s.lastWrite || s.resultErr != nil
	if ending {
		_ = s.upstream.conn.SetWriteDeadline(time.Now().Add(lateResponseTimeout))
	}
	s.upstream.mu.Unlock()
	if !ending {
		_ = s.upstream.socket.Close()
		s.stream.Interrupt()
	}
	<-s.done
	return s.result() == nil
}

// setResult records the result, and hastens the end of RoundTrip if that is still waiting.
func (s *bodySender) setResult(err error) {
	u := s.upstream
	u.mu.Lock()
	defer u.mu.Unlock()
	switch s.resultErr = err; {
	case errors.Is(err, ErrRequestBody):
		_ = u.socket.Close() // the upstream must not take what it has for the whole, nor wait for more
	case s.responseReceived:
	case err != nil:
		_ = u.conn.SetReadDeadline(time.Now().Add(lateResponseTimeout))
	default:
		_ = u.conn.SetReadDeadline(u.client.deadline())
	}
}

func (s *bodySender) run() error {
	if s.continueReceived != nil {
		timer := time.NewTimer(continueTimeout)
		defer timer.Stop()
		select {
		case wanted := <-s.continueReceived:
			if !wanted {
				return errAnsweredEarly
			}
		case <-timer.C:
		}
	}
	return s.send()
}

const chunkBufferSize = 32 << 10

var chunkBuffers = sync.Pool{New: func() any { return new([chunkBufferSize]byte) }}

// send sends the body.
func (s *bodySender) send() error {
	b := chunkBuffers.Get().(*[chunkBufferSize]byte)
	defer chunkBuffers.Put(b)
	chunked := s.length < 0
	for remaining := s.length; ; {
		out := b[:0]
		space := chunkDataSpace(out)
		if !chunked {
			space = b[:min(chunkBufferSize, remaining)]
		}
		n, err := s.stream.Read(space)
		remaining -= int64(n)
		last := remaining == 0 || chunked && errors.Is(err, io.EOF)
		if err != nil && !last {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%w: %w", ErrRequestBody, err)
		}
		switch {
		case !chunked:
			out = b[:n]
		case last:
			out = appendLastChunk(appendChunk(out, n), s.stream.Trailer())
		default:
			out = appendChunk(out, n)
		}
		if err := s.write(out, last); err != nil || last {
			return err
		}
	}
}

func (s *bodySender) write(data []byte, last bool) error {
	if len(data) == 0 {
		return nil
	}
	s.upstream.mu.Lock()
	s.lastWrite = last
	_ = s.upstream.conn.SetWriteDeadline(s.upstream.client.deadline())
	s.upstream.mu.Unlock()
	if _, err := s.upstream.conn.Write(data); err != nil {
		return fmt.Errorf("sending the request body: %w", err)
	}
	return nil
}

// bytesStream is a Stream of bytes that are known.
type bytesStream struct{ *bytes.Reader }

// Trailer implements Stream.
func (bytesStream) Trailer() Fields { return nil }

// Interrupt implements Stream. Read never blocks.
func (bytesStream) Interrupt() {}
