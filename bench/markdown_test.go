package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "update the golden files in testdata")

// compareGolden compares a text with a golden file.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		if i >= len(gotLines) || i >= len(wantLines) || gotLines[i] != wantLines[i] {
			t.Fatalf("%s differs at line %d (go test -update updates it):\ngot  %q\nwant %q", path, i+1,
				gotLines[min(i, len(gotLines)-1)], wantLines[min(i, len(wantLines)-1)])
		}
	}
}

func TestMarkdownMatchesGoldenFile(t *testing.T) {
	compareGolden(t, "results.md", sampleResults().markdown())
}

func TestSVGMatchesGoldenFileAndIsWellFormed(t *testing.T) {
	svg := sampleResults().svg()
	compareGolden(t, "results.svg", svg)
	for decoder := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("got XML error %v, want none", err)
		}
	}
}

func TestWarnsAboutUnreliableFigures(t *testing.T) {
	for _, c := range []struct {
		warning string
		change  func(*results)
	}{
		{"", func(*results) {}},
		{"mean nothing", func(r *results) { r.Quick = true }},
		{"Fewer than 5 rounds", func(r *results) { r.Rounds = 4 }},
		{"was busy", func(r *results) { r.Machine.Load = 0.6 }},
	} {
		r := sampleResults()
		c.change(r)
		warnings := r.warnings()
		if c.warning == "" {
			if len(warnings) > 0 {
				t.Errorf("got warnings %q for a good run, want none", warnings)
			}
			continue
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], c.warning) || !strings.Contains(r.markdown(), warnings[0]) {
			t.Errorf("got warnings %q, want one with %q, and the same in the results", warnings, c.warning)
		}
	}
}

func TestTableOmitsEmptyRows(t *testing.T) {
	var b strings.Builder
	sampleResults().writeTable(&b, idleResident)
	if got, want := b.String(), "| | idle |\n|---|---|\n| broker | **10.0** |\n| broker with the system's CAs | **13.5** · 1.35 × |\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
