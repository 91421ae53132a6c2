package server

import (
	"context"

	"go.uber.org/zap"
)

// drain shuts the broker down: it is not ready any more, accepts no connections, and gives requests in flight the grace period
// to finish.
func (b *broker) drain() {
	b.draining.Store(true)
	b.log.Info("shutting down", zap.Int64("requests_in_flight", b.proxy.InFlight()), zap.Duration("grace", b.config.ShutdownGrace))
	ctx, cancel := context.WithTimeout(context.Background(), b.config.ShutdownGrace)
	defer cancel()
	if b.app.Shutdown(ctx) != nil {
		b.log.Warn("grace period over; closing the requests in flight", zap.Int64("requests_in_flight", b.proxy.InFlight()))
		b.app.Close()
		return
	}
	b.log.Info("all requests have finished")
}
