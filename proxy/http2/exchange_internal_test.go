package http2

import (
	"testing"
	"time"

	"etrusted-broker/proxy/http1"
)

// slowStream is a Stream whose Interrupt takes until proceed is closed.
type slowStream struct{ interrupting, proceed chan struct{} }

func (*slowStream) Read([]byte) (int, error) { return 0, nil }
func (*slowStream) Trailer() http1.Fields    { return nil }
func (s *slowStream) Interrupt()             { close(s.interrupting); <-s.proceed }

// net/http closes the body on a goroutine of its own. Once the exchange has ended, the stream may be that of the next request.
func TestEndWaitsForInterrupt(t *testing.T) {
	s := &slowStream{make(chan struct{}), make(chan struct{})}
	e := newExchange(&http1.ClientRequest{Stream: s, ContentLength: -1}, 0, func() {})
	go func() { _ = e.Close() }()
	<-s.interrupting
	ended := make(chan struct{})
	go func() { e.end(); close(ended) }()
	select {
	case <-ended:
		t.Error("the exchange has ended before Interrupt returned")
	case <-time.After(100 * time.Millisecond):
	}
	close(s.proceed)
	<-ended
}
