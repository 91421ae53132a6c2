package proc

import (
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const tail = " S 41 4711 41 0 -1 4194560 1 2 3 4 150 25 7 1 20 0 1 0 2301476 3133440 382 18446744073709551615 1 1 0 0 0"
	want := stat{group: 4711, cpu: (150 + 25 + 7 + 1) * 10 * time.Millisecond}
	for _, name := range []string{"nginx", "a b", ") S 1 2 (", "tmux: server"} {
		if got, err := parseStat("42 (" + name + ")" + tail); err != nil || got != want {
			t.Errorf("process named %q: got %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestParseStatRejectsMalformedText(t *testing.T) {
	for _, text := range []string{
		"",
		"42 nginx S 41 4711",
		"42 (nginx) S 41 4711 41 0 -1 4194560 1 2 3 4 150 25 7",                     // cut off
		"42 (nginx) S 41 group 41 0 -1 4194560 1 2 3 4 150 25 7 1 20 0 1 0 2301476", // not a number
		"42 (nginx) S 41 4711 41 0 -1 4194560 1 2 3 4 150 x 7 1 20 0 1 0 2301476",
	} {
		if got, err := parseStat(text); err == nil {
			t.Errorf("parseStat(%q) = %+v, want an error", text, got)
		}
	}
}

func TestParseResident(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"Name:\tbroker\nVmHWM:\t 999 kB\nVmRSS:\t    14 kB\nRssAnon:\t  1 kB\n", 14 << 10, true},
		{"Name:\tgone\nState:\tZ (zombie)\n", 0, true},
		{"VmRSS:\t 14 MB\n", 0, false},
		{"VmRSS:\t many kB\n", 0, false},
	} {
		got, err := parseResident(c.text)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("parseResident(%q) = %d, %v; want %d", c.text, got, err, c.want)
		}
	}
}
