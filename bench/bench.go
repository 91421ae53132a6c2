package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"etrusted-broker/bench/contender"
	"etrusted-broker/bench/load"
	"etrusted-broker/bench/upstream"
)

// bench is one run.
type bench struct {
	options
	stderr  io.Writer
	folder  string // temporary
	api     *upstream.Upstream
	rivals  []rival
	results results
}

// rival is a contender whose program is here.
type rival struct {
	contender.Contender
	program contender.Program
}

// newBench builds what is to be compared, and starts the API. The caller closes the bench.
func newBench(ctx context.Context, o options, stderr io.Writer) (*bench, error) {
	folder, err := os.MkdirTemp("", "etrusted-broker-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, stderr: stderr, folder: folder}
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
	_ = os.RemoveAll(b.folder)
}

func (b *bench) say(format string, values ...any) { fmt.Fprintf(b.stderr, format+"\n", values...) }

func (b *bench) prepare(ctx context.Context) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	broker, err := filepath.Abs(b.broker)
	if err != nil {
		return err
	}
	before, err := filepath.Abs(b.against)
	if err != nil {
		return err
	}
	module, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	b.results = results{Began: time.Now(), Sizes: b.sizes, Rounds: b.rounds, Quick: b.quick, Values: map[string]map[string][]float64{}}
	b.results.Machine = thisMachine()
	w := contender.Workshop{Folder: b.folder, Cache: filepath.Join(cache, "etrusted-broker-bench"), Bench: module, Broker: broker, Before: before}
	if b.wants(directName) {
		b.results.Rows = append(b.results.Rows, row{Name: directName, Note: "no proxy: the load generator speaks TLS itself"})
	}
	for _, c := range contender.All() {
		if c.Name == contender.BeforeName && b.against == "" {
			continue
		}
		if !b.wants(c.Name) {
			b.results.Skipped = append(b.results.Skipped, skipped{c.Name, "left out with -only"})
			continue
		}
		b.say("bench: building or finding %s", c.Name)
		program, err := c.Find(ctx, w)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if c.Name == contender.BrokerName {
				return fmt.Errorf("the broker cannot be built: %w", err)
			}
			b.say("bench: SKIPPED: %s: %v", c.Name, err)
			b.results.Skipped = append(b.results.Skipped, skipped{c.Name, err.Error()})
			continue
		}
		size, err := program.Size()
		if err != nil {
			return err
		}
		b.rivals = append(b.rivals, rival{c, program})
		b.results.Rows = append(b.results.Rows, row{Name: c.Name, Note: c.Note, Version: program.Version})
		b.results.add(c.Name, binarySize, float64(size)/1e6)
	}
	b.api, err = upstream.Start(ctx, b.folder)
	return err
}

// run measures, and writes what came of it.
func (b *bench) run(ctx context.Context, stdout io.Writer) error {
	if b.profile != "" {
		return b.profileBroker(ctx)
	}
	for round := range b.rounds {
		if err := b.round(ctx, round); err != nil {
			return err
		}
	}
	b.results.subtractDirect()
	if err := b.refreshes(ctx); err != nil {
		return err
	}
	b.results.Lasted = time.Since(b.results.Began)
	text := b.results.markdown()
	if _, err := io.WriteString(stdout, text); err != nil {
		return err
	}
	if b.out == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(b.out, "RESULTS.md"), []byte(text), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.out, "results.svg"), []byte(b.results.picture()), 0o644)
}

// round gives each its turn, in another order each time: what a neighbour leaves behind (warm caches, a hot CPU, sockets
// that are not yet forgotten) does not always fall on the same one.
func (b *bench) round(ctx context.Context, round int) error {
	turns := []func() error{}
	if b.wants(directName) {
		turns = append(turns, func() error { return b.direct(ctx) })
	}
	for _, r := range b.rivals {
		turns = append(turns, func() error {
			b.say("bench: round %d of %d: %s", round+1, b.rounds, r.Name)
			if err := b.turn(ctx, r); err != nil {
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
