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

// bench is one run of the benchmark.
type bench struct {
	options
	stderr   io.Writer
	dir      string // temporary
	api      *upstream.Upstream
	subjects []subject
	results  results
}

// subject is a proxy to measure, with its program.
type subject struct {
	proxies.Proxy
	program proxies.Program
}

// newBench builds the proxies and starts the API. The caller closes the bench.
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
	baseline, err := filepath.Abs(b.baselineDir)
	if err != nil {
		return err
	}
	module, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	b.results = results{Start: time.Now(), Sizes: b.sizes, Rounds: b.rounds, Quick: b.quick, Values: map[string]map[string][]float64{}}
	b.results.Machine = thisMachine()
	dirs := proxies.Dirs{Temp: b.dir, Cache: filepath.Join(cache, "etrusted-broker-bench"), Bench: module, Broker: broker, Baseline: baseline}
	if b.selected(directName) {
		b.results.Rows = append(b.results.Rows, tableRow{Name: directName, Note: "no proxy: the load generator speaks TLS itself"})
	}
	for _, proxy := range proxies.All() {
		if b.lacksBaseline(proxy.Name) {
			continue
		}
		if !b.selected(proxy.Name) {
			b.results.Skipped = append(b.results.Skipped, skipped{proxy.Name, "left out with -only"})
			continue
		}
		b.logf("bench: building or finding %s", proxy.Name)
		program, err := proxy.Prepare(ctx, dirs)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if proxy.Name == proxies.BrokerName {
				return fmt.Errorf("the broker cannot be built: %w", err)
			}
			b.logf("bench: SKIPPED: %s: %v", proxy.Name, err)
			b.results.Skipped = append(b.results.Skipped, skipped{proxy.Name, err.Error()})
			continue
		}
		size, err := program.Size()
		if err != nil {
			return err
		}
		b.subjects = append(b.subjects, subject{proxy, program})
		b.results.Rows = append(b.results.Rows, tableRow{Name: proxy.Name, Note: proxy.Note, Version: program.Version})
		b.results.add(proxy.Name, binarySize, float64(size)/1e6)
	}
	b.api, err = upstream.Start(ctx, b.dir)
	return err
}

// run measures and writes the results.
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

// runRound measures all proxies in random order, so that the effects of one measurement on the next (warm caches, a hot CPU,
// sockets in TIME_WAIT) do not always affect the same proxy.
func (b *bench) runRound(ctx context.Context, round int) error {
	measurements := []func() error{}
	if b.selected(directName) {
		measurements = append(measurements, func() error { return b.measureDirect(ctx) })
	}
	for _, sub := range b.subjects {
		measurements = append(measurements, func() error {
			b.logf("bench: round %d of %d: %s", round+1, b.rounds, sub.Name)
			if err := b.measure(ctx, sub); err != nil {
				return fmt.Errorf("%s: %w", sub.Name, err)
			}
			return nil
		})
	}
	rand.Shuffle(len(measurements), func(i, j int) { measurements[i], measurements[j] = measurements[j], measurements[i] })
	for _, measure := range measurements {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

// target returns the API itself, for an app without a proxy.
func (b *bench) target() load.Target {
	return load.Target{URL: b.api.URL, Authorization: "Bearer " + b.api.Token, CAFile: b.api.CAFile}
}
