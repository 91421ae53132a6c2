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

// The test's own program plays the bench's other roles, as the bench does.
func TestMain(m *testing.M) {
	if err, ok := runAsChild(os.Args[1:]); ok {
		if err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// All of it, with what needs nothing but Go.
func TestSmoke(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	only := strings.Join([]string{directName, proxies.NaiveName, proxies.BrokerName, proxies.SystemCAsName}, ",")
	if code := run(ctx, []string{"-quick", "-only", only, "-out", out}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	written, err := os.ReadFile(filepath.Join(out, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(written, stdout.Bytes()) {
		t.Error("RESULTS.md is not what was printed")
	}
	if _, err := os.Stat(filepath.Join(out, "results.svg")); err != nil {
		t.Error(err)
	}
	text := stdout.String()
	// Every table has a row of each, but for direct, of which not all can be asked.
	skipped, system := len(proxies.All())-4, 1 // naive, both brokers; and broker before, of which nobody spoke
	if strings.Contains(text, "SKIPPED: "+proxies.SystemCAsName+": no authorities") {
		skipped, system = skipped+1, 0
	}
	for name, want := range map[string]int{"\n| naive |": 5, "\n| broker |": 5, "\n| direct |": 1, "\n| " + proxies.SystemCAsName + " |": system} {
		if got := strings.Count(text, name); got != want {
			t.Errorf("%d rows that begin with %q, want %d", got, name, want)
		}
	}
	for _, scenario := range []string{"the login server takes 100ms | naive |", "the login server takes 100ms | broker |", "503 from second 1.5 to 2.5 | broker |"} {
		if !strings.Contains(text, scenario) {
			t.Errorf("no row with %q", scenario)
		}
	}
	if strings.Count(text, "SKIPPED") != skipped || strings.Contains(text, "NaN") {
		t.Errorf("something is missing, or what was left out is not told of:\n%s", text)
	}
}
