package main

import (
	"io"
	"testing"
)

func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		ok     bool
		rounds int
		out    string
	}{
		{"none", nil, true, 5, "."},
		{"rounds", []string{"-rounds", "9"}, true, 9, "."},
		{"-only does not replace the results", []string{"-only", "direct,broker"}, true, 5, ""},
		{"-quick does not replace the results", []string{"-quick", "-rounds", "9"}, true, 1, ""},
		{"-quick with -out", []string{"-quick", "-out", "x"}, true, 1, "x"},
		{"-against does not replace the results", []string{"-against", "x"}, true, 5, ""},
		{"-soak", []string{"-soak", "1m", "-seed", "7"}, true, 5, "."},
		{"-soak for too short", []string{"-soak", "59s"}, false, 0, ""},
		{"-soak without requests", []string{"-soak", "1m", "-rate", "0"}, false, 0, ""},
		{"no rounds", []string{"-rounds", "0"}, false, 0, ""},
		{"unknown name", []string{"-only", "broker,unknown"}, false, 0, ""},
		{"argument", []string{"broker"}, false, 0, ""},
		{"unknown flag", []string{"-fast"}, false, 0, ""},
	} {
		o, err := parseOptions(c.args, io.Discard)
		if (err == nil) != c.ok || c.ok && (o.rounds != c.rounds || o.outDir != c.out) {
			t.Errorf("%s: got rounds %d, out %q, error %v; want %d, %q, valid: %v", c.name, o.rounds, o.outDir, err, c.rounds, c.out, c.ok)
		}
	}
}

func TestOnlySelectsByName(t *testing.T) {
	all, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	part, err := parseOptions([]string{"-only", "nginx with Lua,broker"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	against, err := parseOptions([]string{"-against", "x"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range allNames() {
		if !against.selected(name) {
			t.Errorf("-against: got %s not selected, want all", name)
		}
		if got, want := all.selected(name), name != "broker before" && name != "broker before over HTTP/2"; got != want { // which need -against
			t.Errorf("default: got %s selected: %v, want %v", name, got, want)
		}
		if got, want := part.selected(name), name == "nginx with Lua" || name == "broker"; got != want {
			t.Errorf("-only: got %s selected: %v, want %v", name, got, want)
		}
	}
}
