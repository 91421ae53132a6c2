package server

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/callers"
	"etrusted-broker/internal/config"
	"etrusted-broker/internal/filewatch"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// callersReloader keeps the callers in BROKER_CALLERS_DIR up to date.
type callersReloader struct {
	broker        *broker
	directory     *callers.Directory
	callers       *access.Callers
	current       atomic.Pointer[callers.Reading]
	unreadable    bool // the directory could not be read last time
	reloadTrigger filewatch.Trigger
	expiry        *time.Timer // pulls reloadTrigger when the access of the next caller ends; nil if none ends
}

// OpenCallers reads the callers in BROKER_CALLERS_DIR, which must be set. Its error is a config.Error.
func OpenCallers(c config.Config) (*callers.Directory, callers.Reading, error) {
	accepted := callers.AcceptedCredentials{Certificates: c.TLSClientCAFile != "", Users: peerUserSupported, ShortKey: config.MinSafeKeyLength}
	directory, reading, err := callers.Open(c.CallersDir, accepted)
	if err != nil {
		return nil, callers.Reading{}, config.Error{Variable: "BROKER_CALLERS_DIR", Message: err.Error()}
	}
	return directory, reading, nil
}

// openCallers reads the callers; nil if none are configured.
func (b *broker) openCallers() (*callersReloader, error) {
	if b.config.CallersDir == "" {
		return nil, nil
	}
	directory, reading, err := OpenCallers(b.config)
	if err != nil {
		return nil, err
	}
	d := &callersReloader{broker: b, directory: directory, callers: access.NewCallers(), reloadTrigger: filewatch.NewTrigger()}
	d.current.Store(new(callers.Reading))
	d.use(reading)
	return d, nil
}

// run reads the directory whenever it changes or a caller's access ends, and then calls onReload, until ctx is done. d may be nil.
func (d *callersReloader) run(ctx context.Context, onReload func()) {
	if d == nil {
		return
	}
	filewatch.WatchDirs(ctx, d.directory.Watched, d.reloadTrigger, func() {
		reading, err := d.directory.Read()
		switch {
		case err == nil:
			d.unreadable = false
			d.use(reading)
		case !d.unreadable:
			d.unreadable = true
			d.broker.log.Warn("cannot read the callers; keeping them as they were", zap.String("reason", err.Error()))
		}
		onReload()
	})
}

// use makes the callers of a reading those in use.
func (d *callersReloader) use(reading callers.Reading) {
	d.callers.Replace(reading.Callers...) // first: revocation must not wait for the log
	d.awaitExpiry(reading.Callers)
	b, last := d.broker, d.current.Swap(&reading)
	before, now := callerNames(last.Callers), callerNames(reading.Callers)
	for _, caller := range reading.Callers {
		if !before[caller.Name] {
			b.metrics.AddCaller(caller.Name)
			b.warnReadableFiles(d.directory.KeyFile(caller.Name))
			b.log.Info("caller added", zap.String("caller", caller.Name))
		}
		b.warnMisspeltFiles(filepath.Join(b.config.CallersDir, caller.Name), callerFileNames)
	}
	for _, caller := range last.Callers {
		if !now[caller.Name] {
			b.metrics.DeleteCaller(caller.Name)
			b.forgetCaller(caller.Name)
			b.log.Info("caller removed", zap.String("caller", caller.Name))
		}
	}
	for _, problem := range reading.Problems {
		if !slices.Contains(last.Problems, problem) { // the same one is logged once
			b.log.Warn(problem)
		}
	}
	for _, name := range reading.ShortKeys {
		if !slices.Contains(last.ShortKeys, name) {
			warn(b.log, "caller-key-short", "a caller's key is short and could be guessed: create one with 'openssl rand -hex 32'", zap.String("caller", name))
		}
	}
}

func callerNames(all []*access.Caller) map[string]bool {
	names := map[string]bool{}
	for _, caller := range all {
		names[caller.Name] = true
	}
	return names
}

// awaitExpiry makes run read again as soon as the access of the next caller ends.
func (d *callersReloader) awaitExpiry(all []*access.Caller) {
	var next time.Time
	for _, caller := range all {
		if at := caller.Expires; at.After(time.Now()) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if d.expiry != nil {
		d.expiry.Stop()
	}
	if !next.IsZero() {
		d.expiry = time.AfterFunc(time.Until(next), d.reloadTrigger.Pull)
	}
}

func (b *broker) callersStatus() (status []admin.Caller, problems []string) {
	current := b.callers.current.Load()
	for _, caller := range current.Callers {
		status = append(status, admin.Caller{
			Name: caller.Name, Accounts: caller.Accounts, Expires: caller.Expires.UTC(),
			Curl: b.connectionInfo.Curl + curlCallerKeyOption(b.config, caller),
		})
	}
	return status, current.Problems
}

// forgetCaller removes what is known of a removed caller's use of the API.
func (b *broker) forgetCaller(caller string) {
	b.operations.Delete(caller)
	b.dryRuns.forget(caller)
}

// forgetCallerIfRemoved forgets what a request has added whose caller was removed before its end.
func (b *broker) forgetCallerIfRemoved(caller string) {
	if b.callers != nil && caller != "" && b.callers.callers.WithName(caller) == nil {
		b.forgetCaller(caller)
	}
}

// closeRevokedTunnels closes the tunnels that pass through whose caller may not use the broker any more.
func (b *broker) closeRevokedTunnels() {
	b.app.ClosePassThrough(func(tunnel any) bool { return b.policy.CheckTunnel(tunnel.(*access.Tunnel)) != nil })
}

// clientIdentities returns what can identify a request's client as a caller; nil if there are no callers.
func (b *broker) clientIdentities(r *http1.Request) []string {
	if b.callers == nil {
		return nil
	}
	switch conn := r.Conn.(type) {
	case *clientTLSConn:
		return conn.certificateIdentities()
	case *net.UnixConn:
		if uid, ok := peerUser(conn); ok {
			return []string{callers.UserIdentity(uid)}
		}
	}
	return nil
}

// ServeHTTP1 implements http1.Handler. It closes a connection after the response if the next request on it could be refused: if the
// client's certificate would expire while the connection is idle, or if it (or the user) has ceased to be a caller's.
func (b *broker) ServeHTTP1(w *http1.ResponseWriter, r *http1.Request) {
	if b.keysAndTLS.expiresWhileIdle(r.Conn) {
		w.Close = true
	}
	identities := b.clientIdentities(r)
	wasCaller := b.callers != nil && b.callers.callers.HasAnyIdentity(identities)
	b.proxy.ServeHTTP1(w, r)
	if wasCaller && !b.callers.callers.HasAnyIdentity(identities) {
		w.Close = true
	}
}
