package brokertest

import (
	"flag"
	"runtime/debug"
	"testing"
)

// Main runs the tests of a package, and returns the exit code. Call it in TestMain if most tests wait for servers and timeouts, or for
// each other in a synctest bubble: unless the flag -parallel is set, eight run at once, and not one per processor. They allocate
// much and keep little, so that garbage is collected later.
func Main(m *testing.M) int {
	flag.Parse()
	isSet := false
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "test.parallel" })
	if !isSet {
		_ = flag.Set("test.parallel", "8")
	}
	debug.SetGCPercent(400)
	return m.Run()
}
