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

var update = flag.Bool("update", false, "write what is there to testdata, to be looked at and committed")

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
			t.Fatalf("%s differs from line %d on (go test -update writes it anew):\ngot  %q\nwant %q", path, i+1,
				gotLines[min(i, len(gotLines)-1)], wantLines[min(i, len(wantLines)-1)])
		}
	}
}

func TestMarkdown(t *testing.T) { compareGolden(t, "results.md", sampleResults().markdown()) }

func TestPicture(t *testing.T) {
	picture := sampleResults().svg()
	compareGolden(t, "results.svg", picture)
	for decoder := xml.NewDecoder(strings.NewReader(picture)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

func TestDoubts(t *testing.T) {
	for _, c := range []struct {
		why  string
		make func(*results)
	}{
		{"", func(*results) {}},
		{"prove nothing", func(r *results) { r.Quick = true }},
		{"Fewer than 5 rounds", func(r *results) { r.Rounds = 4 }},
		{"busy with something else", func(r *results) { r.Machine.Load = 0.6 }},
	} {
		r := sampleResults()
		c.make(r)
		doubts := r.warnings()
		if c.why == "" {
			if len(doubts) > 0 {
				t.Errorf("a good run is doubted: %q", doubts)
			}
			continue
		}
		if len(doubts) != 1 || !strings.Contains(doubts[0], c.why) || !strings.Contains(r.markdown(), doubts[0]) {
			t.Errorf("%s: %q, or not in the results", c.why, doubts)
		}
	}
}

func TestATableHasNoEmptyRows(t *testing.T) {
	var b strings.Builder
	sampleResults().writeTable(&b, idleResident)
	if got, want := b.String(), "| | idle |\n|---|---|\n| broker | **10.0** |\n| broker with the system's authorities | **13.5** · 1.35 × |\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
