package proxy

import (
	"strings"
	"testing"

	"etrusted-broker/internal/problem"
)

func TestProblemsAreComplete(t *testing.T) {
	for _, p := range []*problem.Problem{errBrokenBody, errUnknownAccount, errNoDefaultAccount, errTokenTimeout} {
		if p.Code == "" || p.Status < 400 || p.Title == "" || p.ProxyError == "" || p.Detail == "" || !strings.HasSuffix(p.Hint, ".") {
			t.Errorf("got %+v, want all fields, and a hint with a final period", p)
		}
	}
}
