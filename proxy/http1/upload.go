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

// upload is a request body that is sent on a separate goroutine, because it arrives while it is sent, or is long.
type upload struct {
	stream  Stream
	output  outputBuffer
	proceed chan bool     // whether to send the body, once that is known; nil if it is sent at once
	done    chan struct{} // closed when the goroutine has ended; nil without one

	// These are guarded by upstreamConn.mu.
	answered  bool // RoundTrip awaits no response any more
	lastWrite bool // the whole body has been read, and the rest of it is being written
}

// startUpload starts to send a body after the header was sent. length is -1 for chunked, and not 0.
func (u *upstreamConn) startUpload(stream Stream, length int64, expectContinue bool) {
	u.upload = upload{stream: stream, output: outputBuffer{framing: byLength, remaining: length, overTLS: isTLS(u.conn)}, done: make(chan struct{})}
	if length < 0 {
		u.output.framing = byChunks
	}
	if expectContinue {
		u.proceed = make(chan bool, 1)
	}
	go u.runUpload()
}

// endContinueWait ends the wait for "100 Continue". If it is called twice before the goroutine looks, the first call counts.
func endContinueWait(wait chan<- bool, proceed bool) {
	select {
	case wait <- proceed:
	default:
	}
}

// stopUpload ends the upload, unless the last bytes are being written, and waits for its goroutine: an upstream that has read the whole
// body may answer before the write returns.
func (u *upstreamConn) stopUpload() {
	if u.done == nil {
		return
	}
	endContinueWait(u.proceed, false)
	u.mu.Lock()
	ending := u.lastWrite || u.sendErr != nil
	if ending {
		_ = u.conn.SetWriteDeadline(time.Now().Add(lateResponseTimeout))
	}
	u.mu.Unlock()
	if !ending {
		_ = u.socket.Close()
		u.stream.Interrupt()
	}
	<-u.done
}

// runUpload sends the body and records the result. If RoundTrip is still waiting for a response, it sets its read deadline.
func (u *upstreamConn) runUpload() {
	defer close(u.done)
	err := u.sendBody()
	u.mu.Lock()
	defer u.mu.Unlock()
	switch u.sendErr = err; {
	case errors.Is(err, ErrRequestBody):
		_ = u.socket.Close() // the upstream must not take what it has for the whole, nor wait for more
	case u.answered:
	case err != nil:
		_ = u.conn.SetReadDeadline(time.Now().Add(lateResponseTimeout))
	default:
		_ = u.conn.SetReadDeadline(u.client.deadline())
	}
}

func (u *upstreamConn) sendBody() error {
	if wait := u.proceed; wait != nil {
		// RFC 9110 section 10.1.1 requires that "100 Continue" is not awaited for ever.
		timer := time.AfterFunc(time.Second, func() { endContinueWait(wait, true) })
		defer timer.Stop()
		if !<-wait {
			return errors.New("the upstream answered before the request body was sent")
		}
	}
	b := &u.output
	defer b.release()
	for {
		n, err := u.stream.Read(b.freeSpace())
		b.commit(n)
		isEnd := errors.Is(err, io.EOF)
		last := b.framing == byLength && b.remaining == 0 || b.framing == byChunks && isEnd
		switch {
		case last && b.framing == byChunks:
			b.out = appendLastChunk(b.out, u.stream.Trailer())
		case last:
		case isEnd:
			return fmt.Errorf("%w: %w", ErrRequestBody, io.ErrUnexpectedEOF)
		case err != nil || b.err != nil:
			return fmt.Errorf("%w: %w", ErrRequestBody, cmp.Or(err, b.err))
		case len(b.out) == 0:
			continue
		}
		u.mu.Lock()
		u.lastWrite = last
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
