package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"etrusted-broker/proxy/wire"
)

// serve runs the broker on its listeners until ctx is done, drains it, and closes the listeners. adminListener may be nil. It
// returns an error if a listener fails, and nil after a shutdown.
func (b *broker) serve(ctx context.Context, app, adminListener net.Listener) error {
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
	loop.Go(func() { b.reloader.run(fetching) })
	loop.Go(func() { b.stats.Run(fetching) })
	defer loop.Wait()
	defer stopFetching()

	failed := make(chan error, 3)
	if b.reloader.certificates != nil {
		app = tls.NewListener(app, b.reloader.certificates.serverConfig())
	}
	appListener := newDrainListener(wire.NewListener(app, b.limits.app, b.connectionEvicted))
	b.app.ConnState = appListener.connState
	go serveOn(b.app, appListener, "app", failed)
	if b.tunnels != nil {
		go b.tunnels.serve(b.connectionEvicted, failed)
	}
	if adminListener != nil {
		go serveOn(b.admin, wire.NewListener(adminListener, b.limits.admin, func() {}), "admin", failed)
	}
	defer func() { _ = b.admin.Close() }() // last, so that it reports on the drain
	select {
	case err := <-failed:
		for _, server := range b.servers() {
			_ = server.Close()
		}
		return err
	case <-ctx.Done():
		b.drain(appListener)
		return nil
	}
}

func serveOn(server *http.Server, listener net.Listener, name string, failed chan<- error) {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("the %s listener failed: %w", name, err)
	}
}

// servers returns the servers that receive the apps' requests.
func (b *broker) servers() []*http.Server {
	if b.tunnels == nil {
		return []*http.Server{b.app}
	}
	return []*http.Server{b.app, b.tunnels.server}
}
