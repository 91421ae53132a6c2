package proxy

import (
	"net/http"
	"strings"
	"testing"
)

func TestStructuredString(t *testing.T) {
	for text, want := range map[string]string{
		"":                 `""`,
		"plain, with; all": `"plain, with; all"`,
		`a "quote" and \`:  `"a \"quote\" and \\"`,
		"a\r\nb\tc\x7f":    `"a??b?c?"`,
		"ä€😀":              `"???"`,
		"\xff":             `"?"`,
	} {
		if got := structuredString(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// What one connection's headers name must not depend on how it is written.
func TestNamed(t *testing.T) {
	for line, want := range map[string]string{
		"":                       "",
		"close":                  "",
		"Keep-Alive, CLOSE":      "",
		"x-a":                    "X-A",
		" , X-a\t,, close , x-B": "X-A X-B",
	} {
		got := connectionOptions([]string{line})
		for _, name := range strings.Fields(want) {
			if !got[name] {
				t.Errorf("%q: %v lacks %s", line, got, name)
			}
		}
		if len(got) != len(strings.Fields(want)) {
			t.Errorf("%q: %v, want %s", line, got, want)
		}
	}
}

// onward shares values with the request, so it must never write to them.
func TestOnwardLeavesTheRequestAlone(t *testing.T) {
	via := make([]string, 1, 10)
	via[0] = "1.1 fred"
	header := http.Header{"Via": via, "Connection": {"X-A"}, "X-A": {"1"}, "Authorization": {"Bearer app"}}
	outboundHeader(header, "Bearer ours")
	if len(header) != 4 || header.Get("Authorization") != "Bearer app" || len(header["Via"]) != 1 || via[:2][1] != "" {
		t.Errorf("%v", header)
	}
}

// Each problem that is a constant must be fit to be sent.
func TestConstantProblems(t *testing.T) {
	for _, p := range []*problem{loopDetected, badTarget} {
		if p.status == 0 || p.name == "" || p.title == "" || p.errorType == "" || p.what == "" || !strings.HasSuffix(p.advice, ".") {
			t.Errorf("%+v", p)
		}
	}
}
