package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/sdnotify"
	"etrusted-broker/tokensource"
)

const (
	// pollIntervalBeforeReady is how often readiness is checked before READY=1: units ordered after the broker wait for it.
	pollIntervalBeforeReady = 100 * time.Millisecond
	// pollIntervalOnceReady is how often readiness is checked afterwards: the expiry of a token is no event.
	pollIntervalOnceReady = time.Second
	// StopTimeBeyondGrace is the time that a shutdown takes beyond the grace period for requests in flight.
	StopTimeBeyondGrace = 5 * time.Second
)

// systemdNotifier reports the broker's state to systemd.
type systemdNotifier struct {
	*broker
	notifier   *sdnotify.Notifier
	warnOnce   sync.Once
	lastStatus string // the last text of /readyz that was sent
	ready      bool   // READY=1 was sent
}

// serveWithSystemd calls serve and reports to systemd, unless notifier is nil: READY=1 and STATUS= follow /readyz, except that
// READY=1 does not wait for the operator, WATCHDOG=1 is sent while the broker responds, and STOPPING=1 before the first listener closes.
func (b *broker) serveWithSystemd(ctx context.Context, l Listeners, notifier *sdnotify.Notifier) error {
	if notifier == nil {
		return b.serve(ctx, l)
	}
	n := &systemdNotifier{broker: b, notifier: notifier}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	serving, drain := context.WithCancel(running)
	var reporters sync.WaitGroup
	reporters.Go(func() {
		defer drain()
		n.reportReadiness(ctx, running)
		if ctx.Err() != nil { // with enough time for the requests in flight: TimeoutStopSec= need not follow BROKER_SHUTDOWN_GRACE
			n.send(sdnotify.Stopping, sdnotify.ExtendTimeout(b.config.ShutdownGrace+StopTimeBeyondGrace),
				sdnotify.Status("shutting down: requests in flight have "+b.config.ShutdownGrace.String()+" to end"))
		}
	})
	if notifier.WatchdogTimeout > 0 { // until the end of the drain, which may hang too
		reporters.Go(func() {
			sdnotify.RunWatchdog(running, notifier.WatchdogTimeout, b.selfCheck, func() { n.send(sdnotify.Watchdog) })
		})
	}
	err := b.serve(serving, l)
	stop()
	reporters.Wait()
	return err
}

// reportReadiness reports each change of /readyz until either context is done.
func (n *systemdNotifier) reportReadiness(ctx, running context.Context) {
	for {
		interval := pollIntervalOnceReady
		if n.reportChange(); !n.ready {
			interval = pollIntervalBeforeReady
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return
		case <-running.Done():
			return
		}
	}
}

// reportChange sends what /readyz says, unless it was the last to be sent. A message that failed is sent again.
func (n *systemdNotifier) reportChange() {
	status, text := n.getAdminPage("/readyz")
	states := []string{sdnotify.Status(text)}
	first := !n.ready && (status == http.StatusOK || n.waitsForOperator())
	if first {
		states = append(states, sdnotify.Ready)
	}
	if text == n.lastStatus && !first || !n.send(states...) {
		return
	}
	n.lastStatus, n.ready = text, n.ready || first
}

// waitsForOperator reports whether there is no token, and will be none before the operator changes the credentials: a unit that is
// still "activating" would hide that for as long as systemd waits.
func (b *broker) waitsForOperator() bool {
	snapshots := b.accounts.Snapshots()
	if b.config.HasDefaultAccount() {
		snapshots = slices.DeleteFunc(snapshots, func(one tokensource.Snapshot) bool { return one.Account != tokensource.DefaultAccount })
	}
	return len(snapshots) > 0 && !slices.ContainsFunc(snapshots, func(one tokensource.Snapshot) bool {
		return one.Valid || one.LastFailure == nil || one.LastFailure.Outcome != tokensource.OutcomeRejected
	})
}

// send reports whether the message was sent. It logs the first failure only: the next messages are likely to fail too.
func (n *systemdNotifier) send(states ...string) bool {
	err := n.notifier.Send(states...)
	if err != nil {
		n.warnOnce.Do(func() {
			n.log.Warn("sd_notify failed; systemd may restart the broker", zap.String("reason", err.Error()))
		})
	}
	return err == nil
}

// selfCheck returns once it has held the locks that requests need: /metrics takes those of the counters, /status.json those of the
// statistics and of each account. An error page is not a deadlock, so it ignores errors. It does not check for a token: a restart
// does not help against an outage of eTrusted. It opens no connection: it would compete with clients for the limited number, and
// systemd would kill a broker that is busy or under attack.
func (b *broker) selfCheck() {
	b.getAdminPage("/metrics")
	b.getAdminPage("/status.json")
}

// getAdminPage returns the response of the admin handler, which exists even if the admin listener is off.
func (b *broker) getAdminPage(path string) (status int, text string) {
	defer func() {
		if recover() != nil {
			status, text = http.StatusInternalServerError, path+" panicked"
		}
	}()
	request, err := http.NewRequest(http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		panic(err) // the paths are constants
	}
	response := &bufferedResponseWriter{header: http.Header{}}
	b.admin.Handler.ServeHTTP(response, request)
	return response.status, strings.TrimSpace(response.body.String())
}

// bufferedResponseWriter is an http.ResponseWriter that stores the response.
type bufferedResponseWriter struct {
	header http.Header
	status int
	body   strings.Builder
}

// Header implements http.ResponseWriter.
func (r *bufferedResponseWriter) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *bufferedResponseWriter) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *bufferedResponseWriter) Write(p []byte) (int, error) { return r.body.Write(p) }
