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

// errRefused means that the final response came before the body was to be sent.
var errRefused = errors.New("the upstream answered before the request body was sent")

// continueTimeout is how long "100 Continue" is awaited: RFC 9110 section 10.1.1 requires that it is not awaited for ever.
const continueTimeout = time.Second

// pump sends a body that arrives while it is sent, or that the upstream may be slow to read, on a goroutine of its own.
type pump struct {
	exchange *exchange
	stream   Stream
	length   int64         // -1 for chunked
	wanted   chan bool     // whether the upstream asks for the body, once that is known; nil if it is not awaited
	done     chan struct{} // closed at the end

	// These are guarded by the exchange's mutex.
	final     bool // refuse was called: RoundTrip needs no deadline any more
	lastWrite bool // the whole body has been read, and the rest of it is being written
	err       error
}

// startPump starts to send a body after the header was sent. length is -1 for chunked, and not 0.
func startPump(e *exchange, stream Stream, length int64, expectContinue bool) *pump {
	p := &pump{exchange: e, stream: stream, length: length, done: make(chan struct{})}
	if expectContinue {
		p.wanted = make(chan bool, 1)
	}
	go func() {
		defer close(p.done)
		p.finish(p.run())
	}()
	return p
}

// decide is called for "100 Continue", and by refuse. If both happen before the pump looks, the first counts.
func (p *pump) decide(wanted bool) {
	select {
	case p.wanted <- wanted:
	default:
	}
}

// refuse is called once, when the final response has arrived, or there will be none: a body that was not begun is not sent.
func (p *pump) refuse() {
	p.exchange.mu.Lock()
	defer p.exchange.mu.Unlock()
	p.final = true
	p.decide(false)
}

// failure returns why the body was not sent, or nil.
func (p *pump) failure() error {
	p.exchange.mu.Lock()
	defer p.exchange.mu.Unlock()
	return p.err
}

// end waits for the end, and brings it about unless the last bytes are being written: an upstream that has read the whole body
// may answer before the write returns. It reports whether the whole body was sent.
func (p *pump) end() bool {
	p.exchange.mu.Lock()
	ending := p.lastWrite || p.err != nil
	if ending {
		_ = p.exchange.conn.SetWriteDeadline(time.Now().Add(lastRead))
	}
	p.exchange.mu.Unlock()
	if !ending {
		_ = p.exchange.socket.Close()
		p.stream.Interrupt()
	}
	<-p.done
	return p.failure() == nil
}

// finish records the result, and hastens the end of RoundTrip if that is still waiting.
func (p *pump) finish(err error) {
	e := p.exchange
	e.mu.Lock()
	defer e.mu.Unlock()
	switch p.err = err; {
	case errors.Is(err, ErrRequestBody):
		_ = e.socket.Close() // the upstream must not take what it has for the whole, nor wait for more
	case p.final:
	case err != nil:
		_ = e.conn.SetReadDeadline(time.Now().Add(lastRead))
	default:
		_ = e.conn.SetReadDeadline(e.client.deadline())
	}
}

func (p *pump) run() error {
	if p.wanted != nil {
		timer := time.NewTimer(continueTimeout)
		defer timer.Stop()
		select {
		case wanted := <-p.wanted:
			if !wanted {
				return errRefused
			}
		case <-timer.C:
		}
	}
	return p.send()
}

const chunkBuffer = 32 << 10

var chunkBuffers = sync.Pool{New: func() any { return new([chunkBuffer]byte) }}

// send sends the body.
func (p *pump) send() error {
	b := chunkBuffers.Get().(*[chunkBuffer]byte)
	defer chunkBuffers.Put(b)
	chunked := p.length < 0
	for remaining := p.length; ; {
		out := b[:0]
		room := chunkRoom(out)
		if !chunked {
			room = b[:min(chunkBuffer, remaining)]
		}
		n, err := p.stream.Read(room)
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
			out = appendLastChunk(appendChunk(out, n), p.stream.Trailer())
		default:
			out = appendChunk(out, n)
		}
		if err := p.write(out, last); err != nil || last {
			return err
		}
	}
}

func (p *pump) write(data []byte, last bool) error {
	if len(data) == 0 {
		return nil
	}
	p.exchange.mu.Lock()
	p.lastWrite = last
	_ = p.exchange.conn.SetWriteDeadline(p.exchange.client.deadline())
	p.exchange.mu.Unlock()
	if _, err := p.exchange.conn.Write(data); err != nil {
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
