package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/bench/proxies"
)

// The test's own executable is also its child processes, as the benchmark's is.
func TestMain(m *testing.M) {
	if ok, err := runAsChild(os.Args[1:]); ok {
		if err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// The whole benchmark, with the proxies that need only Go.
func TestQuickRunMeasuresEverything(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	only := strings.Join([]string{directName, proxies.NaiveName, proxies.BrokerName, proxies.HTTP2Name, proxies.SystemCAsName}, ",")
	if code := run(ctx, []string{"-quick", "-only", only, "-out", out}, &stdout, &stderr); code != 0 {
		t.Fatalf("got exit code %d, want 0; stderr:\n%s", code, stderr.String())
	}
	written, err := os.ReadFile(filepath.Join(out, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written, stdout.Bytes()) {
		t.Errorf("got RESULTS.md:\n%s\nwant the same as stdout:\n%s", written, stdout.String())
	}
	if _, err := os.Stat(filepath.Join(out, "results.svg")); err != nil {
		t.Error(err)
	}
	text := stdout.String()
	// Each table has a row for naive and broker. Most of the metrics do not apply to direct.
	skippedProxies, systemRows := len(proxies.All())-6, 1 // all but naive, three brokers, and the two of -against
	if strings.Contains(text, "SKIPPED: "+proxies.SystemCAsName+": no CAs") {
		skippedProxies, systemRows = skippedProxies+1, 0
	}
	for name, want := range map[string]int{"\n| naive |": 5, "\n| broker |": 5, "\n| direct |": 1, "\n| " + proxies.HTTP2Name + " |": 2, "\n| " + proxies.SystemCAsName + " |": systemRows} {
		if got := strings.Count(text, name); got != want {
			t.Errorf("got %d rows that start with %q, want %d", got, name, want)
		}
	}
	for _, scenario := range []string{"the login server takes 100ms | naive |", "the login server takes 100ms | broker |", "503 from second 1.5 to 2.5 | broker |"} {
		if !strings.Contains(text, scenario) {
			t.Errorf("got no row with %q, want one", scenario)
		}
	}
	if got := strings.Count(text, "SKIPPED"); got != skippedProxies || strings.Contains(text, "NaN") {
		t.Errorf("got %d skipped proxies, want %d, and no NaN:\n%s", got, skippedProxies, text)
	}
}
