// Package soak runs the broker for hours, at a fixed rate of requests, while everything around it fails. It counts requests by
// outcome. It fails if a request is lost without a cause, if a secret is in any output of the broker, or if the broker uses more
// and more memory, goroutines or descriptors.
package soak

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"time"
)

// Config configures Run.
type Config struct {
	Broker   string // the broker's program
	Dir      string // for files
	Duration time.Duration
	Rate     int    // requests a second
	Seed     uint64 // of all random choices
	Progress io.Writer
}

// run is one run.
type run struct {
	Config
	start       time.Time
	eTrusted    *eTrusted
	store       *store // nil without one
	credentials *credentials
	broker      *broker
	journal     *journal
	tally       *tally
	searcher    *searcher
	misbehaving *misbehaving

	mu     sync.Mutex
	usages []usage
}

// Run runs the soak test, writes its results to stdout, and returns an error if the broker has failed or the test could not run.
func Run(ctx context.Context, c Config, stdout io.Writer) error {
	r := &run{Config: c, journal: &journal{}, searcher: newSearcher(), start: time.Now()}
	r.tally = newTally(r.journal)
	r.logf("seed %d", c.Seed)
	defer r.stop()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	r.start = time.Now()
	err := r.soak(ctx)
	return errors.Join(err, r.report(stdout)) // also of a run that was interrupted
}

func (r *run) logf(format string, values ...any) {
	_, _ = fmt.Fprintf(r.Progress, "soak: %s: %s\n", time.Since(r.start).Round(time.Second), fmt.Sprintf(format, values...))
}

// random returns one of the run's generators. Each is used by one part, so that all draw the same values again with the same seed.
func (r *run) random(part uint64) *mathrand.Rand { return mathrand.New(mathrand.NewPCG(r.Seed, part)) }

// prepare starts all processes.
func (r *run) prepare(ctx context.Context) error {
	e, caFile, err := startETrusted(r.Dir, r.random(1))
	if err != nil {
		return err
	}
	r.eTrusted = e
	r.credentials = &credentials{dir: r.Dir, searcher: r.searcher}
	if err := r.rotate(); err != nil {
		return err
	}
	key, storePassword := marker+rand.Text(), marker+rand.Text()
	r.searcher.add(key)
	r.searcher.add(storePassword)
	keyFile := filepath.Join(r.Dir, "access_key")
	if err := replaceFile(keyFile, key); err != nil {
		return err
	}
	environ := []string{
		"ETRUSTED_API_URL=" + e.url(), "ETRUSTED_TOKEN_URL=" + e.url() + tokenPath, "SSL_CERT_FILE=" + caFile,
		"ETRUSTED_CLIENT_ID_FILE=" + r.credentials.idFile(), "ETRUSTED_CLIENT_SECRET_FILE=" + r.credentials.secretFile(),
		"BROKER_ACCESS_KEY_FILE=" + keyFile, "BROKER_UPSTREAM_TIMEOUT=" + upstreamTimeout.String(), "BROKER_TOKEN_WAIT=1s",
		"BROKER_LOG_LEVEL=debug", "BROKER_ACCESS_LOG=true", "BROKER_PPROF=true",
	}
	switch r.store, err = startStore(ctx, r.Dir, storePassword); {
	case errors.Is(err, errNoStore):
		r.logf("SKIPPED: the shared token: %v", err)
	case err != nil:
		return err
	default:
		environ = append(environ, "BROKER_TOKEN_STORE="+r.store.url())
	}
	if r.broker, err = startBroker(ctx, r.Broker, r.Dir, environ, r.searcher); err != nil {
		return err
	}
	r.misbehaving = &misbehaving{
		address: r.broker.url[len("http://"):], key: key, path: "/reviews?count=60", random: r.random(2),
	}
	return nil
}

func (r *run) stop() {
	if r.broker != nil {
		r.broker.Stop()
	}
	if r.store != nil {
		r.store.stop()
	}
	if r.eTrusted != nil {
		r.eTrusted.close()
	}
}

// coolDown is how long the run goes on at most without disturbances and requests, until the broker has closed the connections of the
// last burst: on a busy machine, requests would cause the next one. A leak does not go away.
const coolDown = poolIdle + 10*time.Second

// soak runs apps, misbehaving clients and disturbances until the end of the run.
func (r *run) soak(ctx context.Context) error {
	ids, err := reviewIDs(ctx, r.broker.url, r.misbehaving.key)
	if err != nil {
		return err
	}
	a := &apps{
		url: r.broker.url, key: r.misbehaving.key, rate: r.Rate, ids: ids, random: r.random(3), tally: r.tally,
		searcher: r.searcher,
	}
	var group sync.WaitGroup
	defer group.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	disturbed, cancel := context.WithTimeout(ctx, r.Duration-minPause)
	defer cancel()
	loaded, cancel := context.WithTimeout(ctx, r.Duration)
	defer cancel()
	failed := make(chan error, 2)
	if comparesResident(r.Duration) {
		r.prime(ctx, a)
	}
	group.Go(func() { a.run(loaded) })
	group.Go(func() { r.misbehaving.run(loaded) })
	group.Go(func() {
		if err := r.disturb(disturbed, newPlanner(r.random(0), r.Duration, r.store != nil)); err != nil {
			failed <- err
		}
	})
	group.Go(func() {
		if err := r.observe(ctx); err != nil && ctx.Err() == nil {
			failed <- err
		}
	})
	logged := 0
	progress := time.NewTicker(max(r.Duration/60, 15*time.Second))
	defer progress.Stop()
	end := time.NewTicker(time.Second)
	defer end.Stop()
	for {
		select {
		case <-end.C:
			if elapsed := time.Since(r.start); elapsed > r.Duration && (!r.grown() || elapsed > r.Duration+coolDown) {
				return nil
			}
		case <-progress.C:
			logged = r.logProgress(logged)
		case err := <-failed:
			return err
		case <-r.broker.Exited():
			return fmt.Errorf("the broker has exited; its output:\n%s", r.broker.Log())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// prime makes the apps send as many requests at a time as they ever may. Go keeps memory for as many goroutines as there ever were,
// so otherwise the first time that the machine stalls would look like a leak.
func (r *run) prime(ctx context.Context, a *apps) {
	end := r.eTrusted.failAPI(slow(r.eTrusted, 3*time.Second), 1)
	a.burst(maxInFlight)
	end()
	sleep(ctx, time.Second)
}

// observe reads the broker's pages each second, and what its process uses when nothing disturbs it.
func (r *run) observe(ctx context.Context) error {
	for sleep(ctx, time.Second) {
		for _, token := range r.newTokens() {
			r.searcher.addToken(token)
		}
		for _, path := range []string{"/", "/status.json", "/healthz", "/debug/pprof/goroutine?debug=1"} {
			if _, err := r.broker.get(ctx, path); err != nil {
				return err
			}
		}
		u, err := r.broker.usage(ctx)
		if err != nil {
			return err
		}
		if u.at = time.Since(r.start); r.journal.quiet(time.Now()) {
			r.mu.Lock()
			r.usages = append(r.usages, u)
			r.mu.Unlock()
		}
	}
	return nil
}

// newTokens returns the latest tokens.
func (r *run) newTokens() []string {
	tokens := r.eTrusted.Tokens()
	return tokens[max(0, len(tokens)-4):]
}

// grown reports whether the broker uses too much.
func (r *run) grown() bool {
	all, err := r.growth()
	for _, g := range all {
		if g.tooMuch() {
			return true
		}
	}
	return err != nil
}

func (r *run) growth() ([]growth, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return compare(r.usages, r.Duration)
}

// reviewIDs returns the ids of all reviews.
func reviewIDs(ctx context.Context, url, key string) ([]string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/reviews?count=60", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var page struct {
		Items []struct{ ID string }
	}
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		return nil, err
	}
	if len(page.Items) == 0 {
		return nil, fmt.Errorf("no reviews: %s", response.Status)
	}
	var ids []string
	for _, item := range page.Items {
		ids = append(ids, item.ID)
	}
	return ids, nil
}
