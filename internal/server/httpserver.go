package server

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/proxy/wire"
)

// clientIdleTimeout is longer than that of most clients, so that the client closes an idle connection first.
const clientIdleTimeout = 2 * time.Minute

// newServer returns a server with timeouts for stalled clients. Whole requests and responses have no timeout: they may stream
// for as long as both sides want.
func newServer(handler http.Handler, log *zap.Logger) *http.Server {
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		panic(err) // the level is valid
	}
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       clientIdleTimeout,
		MaxHeaderBytes:    64 << 10,
		ConnState:         wire.ConnState,
		ErrorLog:          errorLog,
		// The API answers OPTIONS *.
		DisableGeneralOptionsHandler: true,
	}
}
