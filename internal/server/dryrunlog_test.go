package server

import (
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy"
)

// An app that invents operations does not fill the log, and does not keep another caller's out of it.
func TestDryRunLogIsBounded(t *testing.T) {
	t.Parallel()
	var out brokertest.LogBuffer
	d := dryRunLog{log: newLogger(&out, zapcore.InfoLevel, "json")}
	add := func(caller, path string) {
		d.add(proxy.RequestRecord{Caller: caller, Method: "GET", Path: path, DryRun: &problem.Problem{Code: "not-in-allow-list"}})
	}
	for i := range 1000 {
		add("erp", "/"+strings.Repeat("a", i%30+1)+"/"+strings.Repeat("b", i/30+1)) // up to 33 letters: one is no word
	}
	const each, tooMany = "the allow list would refuse this operation; logged once", "there are too many operations that the allow list would refuse; further ones are only counted"
	lines := func(message string) int { return len(out.Lines("BROKER_ALLOW_MODE=warn: " + message)) }
	if lines(each) != maxLoggedOperationsPerCaller || lines(tooMany) != 1 {
		t.Errorf("got %d lines and %d about too many, want %d and 1", lines(each), lines(tooMany), maxLoggedOperationsPerCaller)
	}
	add("shop", "/reviews")
	add("shop", "/reviews")
	if last := out.Lines("BROKER_ALLOW_MODE=warn: " + each); len(last) != maxLoggedOperationsPerCaller+1 || last[maxLoggedOperationsPerCaller]["caller"] != "shop" {
		t.Errorf("got %d lines, want one more, of the other caller", len(last))
	}
}

// A path that no pattern describes is shown as it is, but cut and printable.
func TestDryRunLogShowsUnusualPaths(t *testing.T) {
	t.Parallel()
	var out brokertest.LogBuffer
	d := dryRunLog{log: newLogger(&out, zapcore.InfoLevel, "json")}
	for _, path := range []string{"//reviews/" + strings.Repeat("x", 1000), "//another"} {
		d.add(proxy.RequestRecord{Method: "M\u202e", Path: path, DryRun: &problem.Problem{Code: "not-in-allow-list"}})
	}
	lines := out.Lines("BROKER_ALLOW_MODE=warn: the allow list would refuse this operation; logged once")
	if len(lines) != 1 {
		t.Fatalf("got %d lines, want 1:\n%s", len(lines), out.String())
	}
	if path := lines[0]["path"].(string); lines[0]["method"] != "M%E2%80%AE" || !strings.HasPrefix(path, "//reviews/xxx") || len(path) > maxLoggedDryRunPath+len("...") {
		t.Errorf("got %q, want method and path printable and cut", lines[0])
	}
}
