package http1_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/proxy/http1"
)

// listenTLS makes the server accept connections with TLS as well.
func (b *bubble) listenTLS() *fakeetrusted.Listener {
	l := fakeetrusted.NewListener()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MaxVersion: tls.VersionTLS12}
	go func() { _ = b.server.Serve(tls.NewListener(l, config)) }()
	return l
}

// dialTLS opens a connection to a listener of listenTLS.
func (b *bubble) dialTLS(l *fakeetrusted.Listener) *clientConn {
	b.t.Helper()
	return newClientConn(b.t, tls.Client(b.dialOn(l).Conn, &tls.Config{InsecureSkipVerify: true}), synctest.Wait)
}

// clientHello returns the first message of a TLS client.
func clientHello() []byte {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	go func() { _ = tls.Client(near, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
	hello := make([]byte, 4096)
	n, _ := far.Read(hello)
	return hello[:n]
}

// A client that does not read what the handshake sends ends with the time for the handshake.
func TestHandshakeThatIsNotReadEnds(t *testing.T) {
	inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
		errs := make(chan error, 1)
		b.server.OnHandshakeError = func(err error) { errs <- err }
		plain := b.dialOn(b.listenTLS())
		_, _ = plain.Write(clientHello())
		time.Sleep(headerTimeout + time.Second)
		if got, _ := io.ReadAll(plain); len(got) > 0 || len(errs) != 1 {
			t.Errorf("got %d bytes and %d errors after the timeout, want only an error", len(got), len(errs))
		}
	})
}

// The time for the handshake does not limit the responses.
func TestHandshakeTimeoutDoesNotLimitResponses(t *testing.T) {
	slowly := func(w *http1.ResponseWriter, r *http1.Request) {
		time.Sleep(time.Hour)
		ok(w, r)
	}
	inBubble(t, 0, slowly, func(t *testing.T, b *bubble) {
		c := b.dialTLS(b.listenTLS())
		c.send(simple)
		c.expectStatus(200)
	})
}

// A handshake that the server itself ends has not failed.
func TestShutdownIsNoHandshakeError(t *testing.T) {
	inBubble(t, 0, ok, func(t *testing.T, b *bubble) {
		b.server.OnHandshakeError = func(err error) { t.Errorf("OnHandshakeError: got %v, want no call", err) }
		_ = b.dialOn(b.listenTLS())
		if err := b.server.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: got %v, want nil", err)
		}
	})
}
