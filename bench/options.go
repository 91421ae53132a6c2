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

// directName is the name of the measurement without a proxy.
const directName = "direct"

// options are the parsed command line.
type options struct {
	rounds      int
	only        []string // empty means all
	quick       bool
	outDir      string // for the results; empty means that they are not written
	brokerDir   string // the module of the broker
	baselineDir string // the module of the broker in another checkout; empty means none
	profileFile string // for a CPU profile instead of a comparison; empty means a comparison
	// soak is the duration of a soak test instead of a comparison; zero means a comparison.
	soak     time.Duration
	soakRate int    // requests a second
	seed     uint64 // of the soak test's random choices; 0 means a random one
	sizes    sizes
}

// sizes are the sizes of the measurements.
type sizes struct {
	WarmUp, KeepAlive, NewConnections, Downloads, Uploads int // requests
	Idle                                                  int // connections
	Rate                                                  int // requests per second for the latency
	Latency                                               time.Duration
	IdleDelay                                             time.Duration // before the memory of an idle process is read
	Refresh                                               refreshSizes
}

// refreshSizes are the sizes of the refresh scenarios.
type refreshSizes struct {
	Rate                        int
	ShortLifetime, LongLifetime time.Duration // of tokens, in whole seconds
	LoginDelay                  time.Duration // of each response of the token endpoint
	SlowLogin, Ordinary, Outage time.Duration // duration of the load in each scenario
	OutageStart, OutageDuration time.Duration // of the token endpoint
	Timeout                     time.Duration // of the requests to the proxy
}

// The connections of the closed loops. A busy PHP pool has 64.
const (
	keepAliveConnections = 64
	downloadConnections  = 8
	uploadConnections    = 16
)

// fullSizes make CPU times so long that their resolution of 10 ms is an error of at most 2 %.
var fullSizes = sizes{
	WarmUp: 3000, KeepAlive: 30_000, NewConnections: 12_000, Downloads: 800, Uploads: 3000,
	Idle: 1000, Rate: 2000, Latency: 4 * time.Second, IdleDelay: 500 * time.Millisecond,
	Refresh: refreshSizes{
		Rate: 1000, ShortLifetime: 6 * time.Second, LongLifetime: 16 * time.Second, LoginDelay: 500 * time.Millisecond,
		// A token that lives 6 s is refreshed after 4.2 to 4.8 s, so there are ten refreshes in 50 s.
		SlowLogin: 50 * time.Second, Ordinary: 25 * time.Second,
		Outage: 30 * time.Second, OutageStart: 5 * time.Second, OutageDuration: 10 * time.Second, Timeout: 12 * time.Second,
	},
}

// quickSizes are only for a test that everything works.
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
	flags.StringVar(&o.baselineDir, "against", "", "directory of another checkout of that module, to measure too as \""+proxies.BaselineName+"\", also over HTTP/2")
	flags.StringVar(&o.profileFile, "profile", "", "no comparison: write a CPU profile of the broker under load to this file")
	flags.DurationVar(&o.soak, "soak", 0, "no comparison: a soak test of this duration, of a minute or more")
	flags.IntVar(&o.soakRate, "rate", 500, "requests a second in the soak test")
	flags.Uint64Var(&o.seed, "seed", 0, "seed of the soak test's random choices, to repeat a run (default: a random one)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("takes no arguments, only flags: %q", flags.Args())
	}
	if o.rounds < 1 {
		return o, errors.New("-rounds must be 1 or more")
	}
	if o.soak != 0 && o.soak < time.Minute || o.soakRate < 1 {
		return o, errors.New("-soak must be a minute or more, and -rate 1 or more")
	}
	if o.quick {
		o.rounds, o.sizes = 1, quickSizes
	}
	if only != "" {
		for name := range strings.SplitSeq(only, ",") {
			if !slices.Contains(allNames(), name) {
				return o, fmt.Errorf("-only: unknown name %q; valid names: %s", name, strings.Join(allNames(), ", "))
			}
			o.only = append(o.only, name)
		}
	}
	if o.outDir == "" && only == "" && o.baselineDir == "" && !o.quick {
		o.outDir = "."
	}
	return o, nil
}

// selected reports whether to measure a proxy, or direct.
func (o options) selected(name string) bool {
	return !o.lacksBaseline(name) && (len(o.only) == 0 || slices.Contains(o.only, name))
}

// lacksBaseline reports whether a proxy needs -against, which was not given.
func (o options) lacksBaseline(name string) bool {
	return o.baselineDir == "" && (name == proxies.BaselineName || name == proxies.BaselineHTTP2Name)
}

// allNames returns the names that -only accepts. They contain no commas, which separate them there.
func allNames() []string {
	all := []string{directName}
	for _, c := range proxies.All() {
		all = append(all, c.Name)
	}
	return all
}
