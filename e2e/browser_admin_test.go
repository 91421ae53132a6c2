package e2e

import (
	"strings"
	"testing"
)

// adminMarks are in what the admin listener tells the operator, and not in how it refuses anybody.
var adminMarks = map[string]string{"/metrics": "etrusted_broker_", "/status.json": "uptime_seconds", "/": "What to do:"}

// adminTrials are the ways to read what answers a GET: the admin listener changes nothing, so there is nothing to cause.
func adminTrials(host, address string) []trial {
	var trials []trial
	for path := range adminMarks {
		for _, technique := range techniques {
			switch technique.name {
			case "fetch GET cors", "fetch GET no-cors", "XMLHttpRequest", "form GET", "iframe":
				trials = append(trials, trial{technique: technique, url: urlAt(host, address) + path, path: path})
			}
		}
	}
	return trials
}

// inFrame reports whether the technique shows the answer in a frame, which the admin listener's pages forbid to everybody: no
// page can read them that way, not even one of the same origin.
func (t technique) inFrame() bool { return t.name == "iframe" || t.name == "form GET" }

// TestBrowserAdmin holds that neither a page of another origin nor one whose name leads to the admin listener can read
// there. The control makes either page a program's equal before the same listener.
func TestBrowserAdmin(t *testing.T) {
	t.Parallel()
	needChromium(t)
	b := startBrowsed(t)
	control := startUnprotected(t, b.admin)

	foreign := func(t *testing.T, address string, wantRead func(trial) bool) {
		t.Parallel()
		var trials []trial
		for _, host := range foreignHosts() {
			trials = append(trials, adminTrials(host.name, address)...)
		}
		visitForeign(t, attempts(trials), func(outcomes []outcome) {
			for i, trial := range trials {
				wantTold(t, trial, outcomes[i], wantRead(trial))
				if !wantRead(trial) && outcomes[i].Read != "" {
					t.Errorf("%s by %s: the page read %q", trial.url, trial.name, outcomes[i].Read)
				}
			}
		})
	}
	rebound := func(t *testing.T, address string, wantRead func(trial) bool) {
		t.Parallel()
		name := startRebinding(t)
		trials := adminTrials("rebind.test", name.address)
		name.visit(t, address, attempts(trials), func(outcomes []outcome) {
			for i, trial := range trials {
				wantTold(t, trial, outcomes[i], wantRead(trial))
				if outcomes[i].Read == "" && (address == b.admin || !trial.inFrame()) {
					t.Errorf("%s by %s: the page read nothing, not even a refusal", trial.url, trial.name)
				}
			}
		})
	}
	never := func(trial) bool { return false }
	t.Run("foreign/broker", func(t *testing.T) { foreign(t, b.admin, never) })
	t.Run("foreign/control", func(t *testing.T) { foreign(t, control, func(trial trial) bool { return trial.reads }) })
	t.Run("rebound/broker", func(t *testing.T) { rebound(t, b.admin, never) })
	t.Run("rebound/control", func(t *testing.T) {
		rebound(t, control, func(trial trial) bool { return trial.readsOwn && !trial.inFrame() })
	})
}

// wantTold fails the test unless the page was told, or was not told, what the admin listener tells the operator.
func wantTold(t *testing.T, trial trial, outcome outcome, want bool) {
	t.Helper()
	if got := strings.Contains(outcome.Read, adminMarks[trial.path]); got != want {
		t.Errorf("%s by %s: the page read %q", trial.url, trial.name, outcome.Read)
	}
}
