package main

import (
	"io"
	"testing"
)

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		ok     bool
		rounds int
		out    string
	}{
		{"none", nil, true, 5, "."},
		{"rounds", []string{"-rounds", "9"}, true, 9, "."},
		{"a part does not replace the results", []string{"-only", "direct,broker"}, true, 5, ""},
		{"nor does a smoke run", []string{"-quick", "-rounds", "9"}, true, 1, ""},
		{"unless it is asked to", []string{"-quick", "-out", "x"}, true, 1, "x"},
		{"nor does a comparison of two brokers", []string{"-against", "x"}, true, 5, ""},
		{"no rounds", []string{"-rounds", "0"}, false, 0, ""},
		{"an unknown name", []string{"-only", "broker,nobody"}, false, 0, ""},
		{"an argument", []string{"broker"}, false, 0, ""},
		{"an unknown flag", []string{"-fast"}, false, 0, ""},
	} {
		o, err := parseOptions(c.args, io.Discard)
		if (err == nil) != c.ok || c.ok && (o.rounds != c.rounds || o.outDir != c.out) {
			t.Errorf("%s: rounds %d, out %q, error %v", c.name, o.rounds, o.outDir, err)
		}
	}
}

func TestOnly(t *testing.T) {
	all, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	part, err := parseOptions([]string{"-only", "nginx with Lua,broker"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range allNames() {
		if all.selected(name) != (name != "broker before") { // without -against there is none
			t.Errorf("by default %s is measured: %v", name, all.selected(name))
		}
		if want := name == "nginx with Lua" || name == "broker"; part.selected(name) != want {
			t.Errorf("-only: %s is measured: %v, want %v", name, part.selected(name), want)
		}
	}
}
