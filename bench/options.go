package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"etrusted-broker/bench/proxies"
)

// directName is that of no contender at all: the app talks to the API itself.
const directName = "direct"

// options are what the command line says.
type options struct {
	rounds      int
	only        []string // empty means all
	quick       bool
	outDir      string // where the results go; empty means nowhere
	brokerDir   string // the dir of the broker's module
	baselineDir string // that of another state of it; empty means none
	profileFile string // the file for a CPU profile, instead of a comparison
	sizes       sizes
}

// sizes are how much is measured.
type sizes struct {
	WarmUp, KeepAlive, NewConnections, Downloads, Uploads int // requests
	Idle                                                  int // connections
	Rate                                                  int // requests a second for the latency
	Latency                                               time.Duration
	IdleDelay                                             time.Duration // until an idle program is looked at
	Refresh                                               refreshSizes
}

// refreshSizes are those of the measurement of refreshes.
type refreshSizes struct {
	Rate                        int
	ShortLifetime, LongLifetime time.Duration // lifetimes of tokens: whole seconds
	LoginDelay                  time.Duration // what the token endpoint takes
	SlowLogin, Outage           time.Duration // how long load is sent
	Ordinary                    time.Duration // the same with long tokens
	OutageStart, OutageDuration time.Duration // when the endpoint fails, and for how long
	Timeout                     time.Duration
}

// The connections of closed loads. 64 are those of a busy PHP pool.
const (
	keepAliveConnections = 64
	downloadConnections  = 8
	uploadConnections    = 16
)

// fullSizes make CPU times so long that the 10 ms in which the kernel tells them are two in a hundred at the most.
var fullSizes = sizes{
	WarmUp: 3000, KeepAlive: 30_000, NewConnections: 6000, Downloads: 400, Uploads: 3000,
	Idle: 1000, Rate: 2000, Latency: 4 * time.Second, IdleDelay: 500 * time.Millisecond,
	Refresh: refreshSizes{
		Rate: 1000, ShortLifetime: 6 * time.Second, LongLifetime: 16 * time.Second, LoginDelay: 500 * time.Millisecond,
		// A token of 6 s is fetched anew after 4.2 to 4.8 s: ten times in so long.
		SlowLogin: 50 * time.Second, Ordinary: 25 * time.Second,
		Outage: 30 * time.Second, OutageStart: 5 * time.Second, OutageDuration: 10 * time.Second, Timeout: 12 * time.Second,
	},
}

// quickSizes prove nothing but that all of it works.
var quickSizes = sizes{
	WarmUp: 100, KeepAlive: 1000, NewConnections: 200, Downloads: 20, Uploads: 50,
	Idle: 100, Rate: 200, Latency: 500 * time.Millisecond, IdleDelay: 50 * time.Millisecond,
	Refresh: refreshSizes{
		Rate: 100, ShortLifetime: 2 * time.Second, LongLifetime: 3 * time.Second, LoginDelay: 100 * time.Millisecond,
		SlowLogin: 2500 * time.Millisecond, Ordinary: time.Second,
		Outage: 3 * time.Second, OutageStart: 1500 * time.Millisecond, OutageDuration: time.Second, Timeout: 2 * time.Second,
	},
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{sizes: fullSizes}
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 5, "number of rounds; with -quick only one")
	flags.StringVar(&only, "only", "", "measure only these, separated by commas: "+strings.Join(allNames(), ", "))
	flags.BoolVar(&o.quick, "quick", false, "a smoke test, without meaningful figures")
	flags.StringVar(&o.outDir, "out", "", "directory for RESULTS.md and results.svg (default: this one; none with -only or -quick)")
	flags.StringVar(&o.brokerDir, "broker-dir", "..", "directory of the broker's module")
	flags.StringVar(&o.baselineDir, "against", "", "directory of another checkout of that module, to be measured too")
	flags.StringVar(&o.profileFile, "profile", "", "no comparison: write a CPU profile of the broker under load to this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("takes no arguments, only flags: %q", flags.Args())
	}
	if o.rounds < 1 {
		return o, errors.New("-rounds must be 1 or more")
	}
	if o.quick {
		o.rounds, o.sizes = 1, quickSizes
	}
	if only != "" {
		for name := range strings.SplitSeq(only, ",") {
			if !slices.Contains(allNames(), name) {
				return o, fmt.Errorf("-only: nothing is called %q; there are: %s", name, strings.Join(allNames(), ", "))
			}
			o.only = append(o.only, name)
		}
	}
	if o.outDir == "" && only == "" && o.baselineDir == "" && !o.quick {
		o.outDir = "."
	}
	return o, nil
}

// selected reports whether a contender is to be measured.
func (o options) selected(name string) bool {
	if name == proxies.BaselineName && o.baselineDir == "" {
		return false
	}
	return len(o.only) == 0 || slices.Contains(o.only, name)
}

// allNames are what -only knows. A comma separates them there, so none has one.
func allNames() []string {
	all := []string{directName}
	for _, c := range proxies.All() {
		all = append(all, c.Name)
	}
	return all
}
