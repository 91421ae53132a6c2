package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"etrusted-broker/proxy/http1"
)

// serve runs the broker on its listeners until ctx is done, drains it, and closes the listeners. It returns an error if a
// listener fails, and nil after a shutdown.
func (b *broker) serve(ctx context.Context, l Listeners) error {
	// The token is refreshed until the last request has finished, so the refresh loop does not end with ctx.
	fetching, stopFetching := context.WithCancel(context.WithoutCancel(ctx))
	var loop sync.WaitGroup
	sharing, stopSharing := context.WithCancel(context.WithoutCancel(ctx)) // the refresh loop releases its lease when it ends
	loop.Go(func() {
		defer stopSharing()
		b.accounts.Run(fetching)
	})
	if b.store != nil {
		loop.Go(func() { b.store.Run(sharing) })
	}
	loop.Go(func() { b.reloader.run(fetching, b.closeRevokedTunnels) })
	loop.Go(func() { b.callers.run(fetching, b.closeRevokedTunnels) })
	loop.Go(func() { b.pages.Run(fetching) })
	defer loop.Wait()
	defer stopFetching()

	b.pass.setListeners(l.addresses())
	b.app.MaxConns = b.limits.app
	failed := make(chan error, len(l.App)+len(l.Intercept)+1)
	for _, app := range l.App {
		go serveOn("app", failed, func() error { return b.app.Serve(b.reloader.certificates.listener(app)) })
	}
	for _, intercept := range l.Intercept {
		config := b.ca.ServerNameTLS()
		wrap := func(accepted net.Conn) net.Conn { return interceptedConn{tls.Server(accepted, config)} }
		go serveOn("intercept", failed, func() error { return b.app.Serve(wrappingListener{intercept, wrap}) })
	}
	if l.Admin != nil {
		go serveOn("admin", failed, func() error { return b.admin.Serve(&evictingListener{Listener: l.Admin, max: b.limits.admin}) })
	}
	defer func() { _ = b.admin.Close() }() // last, so that it reports on the drain
	select {
	case err := <-failed:
		b.app.Close()
		return err
	case <-ctx.Done():
		b.drain()
		return nil
	}
}

func serveOn(name string, failed chan<- error, serve func() error) {
	if err := serve(); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, http1.ErrServerClosed) {
		failed <- fmt.Errorf("the %s listener failed: %w", name, err)
	}
}
