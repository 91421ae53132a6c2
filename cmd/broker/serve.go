package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"go.uber.org/zap"
)

func serveCommand(ctx context.Context, i invocation) int {
	c, ok := i.configured()
	if !ok {
		return exitConfig
	}
	return i.serve(ctx, c, func(_, _ net.Addr) {})
}

// serve listens and runs the broker. It calls listening with the addresses in effect, once connections are taken; the
// admin's is nil if it is off.
func (i invocation) serve(ctx context.Context, c config, listening func(app, admin net.Addr)) int {
	silenceStandardLog()
	log := newLogger(i.stderr, c.LogLevel, c.LogFormat)
	for _, warning := range unknownVariables(i.environ) {
		log.Warn(warning)
	}
	b, err := newBroker(c, log, newAPITransport(c.UpstreamTimeout), newLoginTransport())
	if err != nil {
		log.Error("cannot start: " + err.Error())
		return exitConfig
	}
	app, admin, err := listen(ctx, c)
	if err != nil {
		log.Error("cannot start: " + err.Error())
		return exitFailure
	}
	var adminAddr net.Addr
	adminText := "off"
	if admin != nil {
		adminAddr = admin.Addr()
		adminText = adminAddr.String()
	}
	log.Info("listening",
		zap.String("app", app.Addr().String()), zap.String("admin", adminText),
		zap.String("api", c.APIURL), zap.String("token_url", c.TokenURL), zap.String("version", version))
	if c.UnsafeListen {
		log.Warn("BROKER_UNSAFE_LISTEN is set: whoever reaches the app's listener can use the credentials")
	}
	listening(app.Addr(), adminAddr)
	if err := b.serve(ctx, app, admin); err != nil {
		log.Error(err.Error())
		return exitFailure
	}
	return exitOK
}

// listen opens the listeners: both, or none.
func listen(ctx context.Context, c config) (app, admin net.Listener, err error) {
	if app, err = listenOn(ctx, "BROKER_LISTEN", c.Listen); err != nil {
		return nil, nil, err
	}
	if c.AdminListen == "" {
		return app, nil, nil
	}
	if admin, err = listenOn(ctx, "BROKER_ADMIN_LISTEN", c.AdminListen); err != nil {
		_ = app.Close() // nothing has come in yet
		return nil, nil, err
	}
	return app, admin, nil
}

func listenOn(ctx context.Context, variable, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s %s is taken by another program, perhaps another broker: end that one, or set %s to another port", variable, address, variable)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s %s may not be used by this user: set it to a port above 1023", variable, address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s %s is not an address of this machine: set it to one that is, such as 127.0.0.1:8080", variable, address)
	default:
		// The error would repeat a host that cannot be looked up, whatever it is.
		return nil, fmt.Errorf("cannot listen on %s: its host is not an address of this machine, or cannot be looked up", variable)
	}
}
