package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"etrusted-broker/internal/sdnotify"
)

const (
	// startPause is between two looks at whether there is a token: what is ordered after the broker waits for it.
	startPause = 100 * time.Millisecond
	// statusPause is between two looks at whether there still is one. It is a look at the clock rather than an event that
	// is waited for, since a token that ends makes no event.
	statusPause = time.Second
	// afterGrace is what the end takes beyond the grace of requests in flight.
	afterGrace = 5 * time.Second
)

// teller tells systemd how the broker fares.
type teller struct {
	*broker
	systemd *sdnotify.Notifier
	warn    sync.Once
	told    string // of readiness, last
	ready   bool   // READY=1 was told
}

// serveAndTell is serve, and systemd is told: READY=1 and STATUS= as /readyz goes, WATCHDOG=1 while nothing hangs, and
// STOPPING=1 before the first listener is closed. It costs nothing if there is no systemd.
func (b *broker) serveAndTell(ctx context.Context, l listeners, systemd *sdnotify.Notifier) error {
	if systemd == nil {
		return b.serve(ctx, l.app, l.admin)
	}
	t := &teller{broker: b, systemd: systemd}
	running, ended := context.WithCancel(context.WithoutCancel(ctx))
	serving, drain := context.WithCancel(running)
	var telling sync.WaitGroup
	telling.Go(func() {
		defer drain()
		t.tellReadiness(ctx, running)
		if ctx.Err() != nil {
			t.tellStopping()
		}
	})
	if watchdog := systemd.Watchdog(); watchdog > 0 {
		// To the end of the drain: that may hang as well.
		telling.Go(func() { sdnotify.RunWatchdog(running, watchdog, b.selfCheck, func() { t.tell(sdnotify.Watchdog) }) })
	}
	err := b.serve(serving, l.app, l.admin)
	ended()
	telling.Wait()
	return err
}

// tellReadiness tells of each change, until either context is done.
func (t *teller) tellReadiness(ctx, running context.Context) {
	for {
		pause := statusPause
		if t.tellChange(); !t.ready {
			pause = startPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		case <-running.Done():
			return
		}
	}
}

// tellChange tells what /readyz says, if that is not what was told last. A message that did not get through is told again.
func (t *teller) tellChange() {
	status, text := t.ask("/readyz")
	states := []sdnotify.State{sdnotify.Status(text)}
	first := status == http.StatusOK && !t.ready
	if first {
		states = append(states, sdnotify.Ready)
	}
	if text == t.told && !first || !t.tell(states...) {
		return
	}
	t.told, t.ready = text, t.ready || first
}

// tellStopping asks for the time that the requests in flight are given: TimeoutStopSec= need not know of it.
func (t *teller) tellStopping() {
	t.tell(sdnotify.Stopping, sdnotify.ExtendTimeout(t.grace+afterGrace),
		sdnotify.Status("shutting down: requests in flight have "+t.grace.String()+" to end"))
}

// tell reports whether it got through. What does not is told of once: the next will hardly fare better.
func (t *teller) tell(states ...sdnotify.State) bool {
	err := t.systemd.Send(states...)
	if err != nil {
		t.warn.Do(func() {
			t.log.Warn("systemd cannot be told how the broker fares, and may restart it", zap.String("reason", err.Error()))
		})
	}
	return err == nil
}

// selfCheck returns if the parts that every request needs are not stuck. It asks for what takes the locks of all of them:
// the metrics those of each counter, the status that of the tally and the state of each account. What they answer does not
// matter: a page that is broken is no broker that hangs.
//
// It asks within the process, not over a listener. A connection would compete with those of apps and scrapers for their
// limited number, and be counted and logged as theirs: a broker that is busy, or that somebody besieges, would be killed
// for it. And it does not ask whether there is a token: what eTrusted's outage needs is not a restart.
func (b *broker) selfCheck() {
	b.ask("/metrics")
	b.ask("/status.json")
}

// ask asks what the admin listener serves, whether or not there is one.
func (b *broker) ask(path string) (status int, text string) {
	defer func() {
		if recover() != nil {
			status, text = http.StatusInternalServerError, path+" is broken"
		}
	}()
	request, err := http.NewRequest(http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		panic(err) // of a path of ours that is none
	}
	answer := &answered{header: http.Header{}}
	b.admin.Handler.ServeHTTP(answer, request)
	return answer.status, strings.TrimSpace(answer.text.String())
}

// answered is an http.ResponseWriter that keeps what it is given.
type answered struct {
	header http.Header
	status int
	text   strings.Builder
}

// Header implements http.ResponseWriter.
func (a *answered) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answered) WriteHeader(status int) { a.status = status }

// Write implements http.ResponseWriter.
func (a *answered) Write(p []byte) (int, error) { return a.text.Write(p) }
