package activation_test

import (
	"strings"
	"testing"

	"etrusted-broker/internal/activation"
)

// nowhere is where no descriptor is open.
const nowhere = 900

func TestNothingAnnounced(t *testing.T) {
	for name, environ := range map[string][]string{
		"no variables":    {"PATH=/bin", "nonsense"},
		"empty variables": {"LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES="},
		"no descriptors":  {"LISTEN_PID=42", "LISTEN_FDS=0"},
		"no count":        {"LISTEN_PID=42"},
		"no process":      {"LISTEN_FDS=1"},
		"another process": {"LISTEN_PID=43", "LISTEN_FDS=1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := activation.ListenersFrom(environ, 42, nowhere); len(got) != 0 || err != nil {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	for name, test := range map[string]struct{ pid, count, names, text string }{
		"process":          {"4x2", "1", "", "LISTEN_PID must be a process's number"},
		"negative process": {"-42", "1", "", "LISTEN_PID must be a process's number"},
		"count":            {"42", "one", "", "LISTEN_FDS must be a number from 0 to 64"},
		"negative count":   {"42", "-1", "", "LISTEN_FDS must be a number from 0 to 64"},
		"large count":      {"42", "65", "", "LISTEN_FDS must be a number from 0 to 64"},
		"huge count":       {"42", "99999999999999999999", "", "LISTEN_FDS must be a number from 0 to 64"},
		"few names":        {"42", "2", "app", "LISTEN_FDNAMES has 1 names for the 2 descriptors"},
		"many names":       {"42", "1", "app:admin", "LISTEN_FDNAMES has 2 names for the 1 descriptors"},
	} {
		t.Run(name, func(t *testing.T) {
			environ := []string{"LISTEN_PID=" + test.pid, "LISTEN_FDS=" + test.count, "LISTEN_FDNAMES=" + test.names}
			got, err := activation.ListenersFrom(environ, 42, nowhere)
			if got != nil || err == nil {
				t.Fatalf("%v, %v", got, err)
			}
			checkError(t, err, test.text)
		})
	}
}

func checkError(t *testing.T, err error, text string) {
	t.Helper()
	if !strings.HasPrefix(err.Error(), text) || strings.HasSuffix(err.Error(), ".") || strings.Contains(err.Error(), "%!") {
		t.Errorf("not an error with %q: %v", text, err)
	}
}
