package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"etrusted-broker/bench/load"
	"etrusted-broker/bench/proxies"
	"etrusted-broker/bench/upstream"
)

// bench is one run.
type bench struct {
	options
	stderr   io.Writer
	dir      string // temporary
	api      *upstream.Upstream
	subjects []subject
	results  results
}

// subject is a contender whose program is here.
type subject struct {
	proxies.Proxy
	program proxies.Program
}

// newBench builds what is to be compared, and starts the API. The caller closes the bench.
func newBench(ctx context.Context, o options, stderr io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp("", "etrusted-broker-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, stderr: stderr, dir: dir}
	if err := b.prepare(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	if b.api != nil {
		b.api.Close()
	}
	_ = os.RemoveAll(b.dir)
}

func (b *bench) logf(format string, values ...any) { fmt.Fprintf(b.stderr, format+"\n", values...) }

func (b *bench) prepare(ctx context.Context) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	broker, err := filepath.Abs(b.brokerDir)
	if err != nil {
		return err
	}
	before, err := filepath.Abs(b.baselineDir)
	if err != nil {
		return err
	}
	module, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	b.results = results{Start: time.Now(), Sizes: b.sizes, Rounds: b.rounds, Quick: b.quick, Values: map[string]map[string][]float64{}}
	b.results.Machine = thisMachine()
	w := proxies.Dirs{Temp: b.dir, Cache: filepath.Join(cache, "etrusted-broker-bench"), Bench: module, Broker: broker, Baseline: before}
	if b.selected(directName) {
		b.results.Rows = append(b.results.Rows, row{Name: directName, Note: "no proxy: the load generator speaks TLS itself"})
	}
	for _, c := range proxies.All() {
		if c.Name == proxies.BaselineName && b.baselineDir == "" {
			continue
		}
		if !b.selected(c.Name) {
			b.results.Skipped = append(b.results.Skipped, skipped{c.Name, "left out with -only"})
			continue
		}
		b.logf("bench: building or finding %s", c.Name)
		program, err := c.Prepare(ctx, w)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if c.Name == proxies.BrokerName {
				return fmt.Errorf("the broker cannot be built: %w", err)
			}
			b.logf("bench: SKIPPED: %s: %v", c.Name, err)
			b.results.Skipped = append(b.results.Skipped, skipped{c.Name, err.Error()})
			continue
		}
		size, err := program.Size()
		if err != nil {
			return err
		}
		b.subjects = append(b.subjects, subject{c, program})
		b.results.Rows = append(b.results.Rows, row{Name: c.Name, Note: c.Note, Version: program.Version})
		b.results.add(c.Name, binarySize, float64(size)/1e6)
	}
	b.api, err = upstream.Start(ctx, b.dir)
	return err
}

// run measures, and writes what came of it.
func (b *bench) run(ctx context.Context, stdout io.Writer) error {
	if b.profileFile != "" {
		return b.profileBroker(ctx)
	}
	for round := range b.rounds {
		if err := b.runRound(ctx, round); err != nil {
			return err
		}
	}
	b.results.subtractDirect()
	if err := b.measureRefreshes(ctx); err != nil {
		return err
	}
	b.results.Duration = time.Since(b.results.Start)
	text := b.results.markdown()
	if _, err := io.WriteString(stdout, text); err != nil {
		return err
	}
	if b.outDir == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(b.outDir, "RESULTS.md"), []byte(text), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.outDir, "results.svg"), []byte(b.results.svg()), 0o644)
}

// runRound gives each its turn, in another order each time: what a neighbour leaves behind (warm caches, a hot CPU, sockets
// that are not yet forgotten) does not always fall on the same one.
func (b *bench) runRound(ctx context.Context, round int) error {
	turns := []func() error{}
	if b.selected(directName) {
		turns = append(turns, func() error { return b.measureDirect(ctx) })
	}
	for _, r := range b.subjects {
		turns = append(turns, func() error {
			b.logf("bench: round %d of %d: %s", round+1, b.rounds, r.Name)
			if err := b.measure(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", r.Name, err)
			}
			return nil
		})
	}
	rand.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
	for _, turn := range turns {
		if err := turn(); err != nil {
			return err
		}
	}
	return nil
}

// target is the API itself, as an app would talk to it.
func (b *bench) target() load.Target {
	return load.Target{URL: b.api.URL, Authorization: "Bearer " + b.api.Token, CAFile: b.api.CAFile}
}
