package proxy

import (
	"net/http"
	"strings"
	"testing"
)

// The fields that Connection lists do not depend on how they are written.
func TestConnectionOptionsAreCanonical(t *testing.T) {
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
				t.Errorf("%q: got %v, want %s among them", line, got, name)
			}
		}
		if len(got) != len(strings.Fields(want)) {
			t.Errorf("%q: got %v, want %s", line, got, want)
		}
	}
}

// outboundHeader shares values with the request, so it must never write to them.
func TestOutboundHeaderDoesNotChangeTheRequest(t *testing.T) {
	via := make([]string, 1, 10)
	via[0] = "1.1 fred"
	header := http.Header{"Via": via, "Connection": {"X-A"}, "X-A": {"1"}, "Authorization": {"Bearer app"}}
	outboundHeader(header, "Bearer ours")
	if len(header) != 4 || header.Get("Authorization") != "Bearer app" || len(header["Via"]) != 1 || via[:2][1] != "" {
		t.Errorf("got header %v, want it unchanged", header)
	}
}
