package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// apiAnswer is what both the API and the control's say.
const apiAnswer = `{"ok":true}`

// icon is what Chromium asks for, unbidden, for a window that a page has opened. It calls that same-origin, though it was
// a page of another origin that caused it.
const icon = "/favicon.ico"

// technique is a way for a page to have its browser send a request: see testdata/page.js.
type technique struct {
	name string
	// reads: the page is told the answer, if that allows it by CORS; readsOwn: if page and answer are of one origin.
	reads, readsOwn bool
}

// techniques are none that Chromium itself blocks, with the flags that it is given.
var techniques = []technique{
	{"fetch GET cors", true, true},
	{"fetch GET no-cors", false, true},
	{"fetch POST cors", true, true},
	{"fetch POST no-cors", false, true},
	{"fetch preflight", true, true},
	{"XMLHttpRequest", true, true},
	{"form GET", false, true},
	{"form POST", false, true},
	{"image", false, false},
	{"script", false, false},
	{"stylesheet", false, false},
	{"prefetch", false, false},
	{"iframe", false, true},
	{"WebSocket", false, false},
	{"EventSource", false, false},
	{"beacon", false, false},
	{"ping", false, false},
	{"window", false, false},
	{"redirected image", false, false},
	{"redirected form POST", false, true},
}

// trial is a technique tried on one server.
type trial struct {
	technique
	url, path string
	reason    string // for which the broker has to refuse it
}

// trialsAt has every technique tried, each at a path by which its request is known.
func trialsAt(host, address, reason string) []trial {
	var trials []trial
	for _, technique := range techniques {
		path := "/" + strings.NewReplacer(":", "-", " ", "-").Replace(host+"/"+technique.name)
		trials = append(trials, trial{technique, urlAt(host, address) + path, path, reason})
	}
	return trials
}

// urlAt is the URL of a server at the address, by another host name.
func urlAt(host, address string) string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	return "http://" + net.JoinHostPort(host, port)
}

// foreignHost is a name that every page has for this machine, and why the broker refuses a page that calls it so.
type foreignHost struct{ name, reason string }

func foreignHosts() []foreignHost {
	hosts := []foreignHost{
		{"localhost", "browser"},
		{"127.0.0.1", "browser"},
		// To this one and the next, Chromium sends no Sec-Fetch-Site, and with a GET no Origin: the Host alone gives
		// the page away.
		{"0.0.0.0", "host"},
	}
	if hasIPv6() {
		hosts = append(hosts, foreignHost{"::ffff:127.0.0.1", "host"})
	}
	return hosts
}

func foreignTrials(address string) []trial {
	var trials []trial
	for _, host := range foreignHosts() {
		trials = append(trials, trialsAt(host.name, address, host.reason)...)
	}
	return trials
}

func hasIPv6() bool {
	listener, err := net.Listen("tcp6", "[::]:0")
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}

// TestBrowserPage holds that a page of another origin neither reads nor causes a request to the API, and that nobody
// else is kept out meanwhile.
func TestBrowserPage(t *testing.T) {
	t.Parallel()
	needChromium(t)
	t.Run("broker", func(t *testing.T) {
		t.Parallel()
		b := startBrowsed(t)
		trials := foreignTrials(b.app)
		visitForeign(t, attempts(trials), func(outcomes []outcome) {
			b.wantRefused(trials)
			b.wantAppServed()
			for i, trial := range trials {
				if outcomes[i].Read != "" {
					t.Errorf("%s: the page read %q", trial.path, outcomes[i].Read)
				}
			}
		})
		b.wantNothingCaused()
	})
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		upstream := startCounter(t)
		trials := foreignTrials(startUnprotected(t, upstream.url))
		visitForeign(t, attempts(trials), func(outcomes []outcome) {
			upstream.wantReached(t, trials, icon)
			for i, trial := range trials {
				if got := strings.Contains(outcomes[i].Read, apiAnswer); got != trial.reads {
					t.Errorf("%s: the page read %q", trial.path, outcomes[i].Read)
				}
			}
		})
	})
}

// TestBrowserRebinding holds the same of a page whose own host name leads to the broker by the time that it tries: to
// the browser it is then of one origin with the broker, and may do everything.
func TestBrowserRebinding(t *testing.T) {
	t.Parallel()
	needChromium(t)
	t.Run("broker", func(t *testing.T) {
		t.Parallel()
		b := startBrowsed(t)
		name := startRebinding(t)
		trials := trialsAt("rebind.test", name.address, "host")
		name.visit(t, b.app, attempts(trials), func(outcomes []outcome) {
			b.wantRefused(trials)
			b.wantAppServed()
			for i, trial := range trials {
				if strings.Contains(outcomes[i].Read, apiAnswer) { // the refusal it may read
					t.Errorf("%s: the page read %q", trial.path, outcomes[i].Read)
				}
			}
		})
		b.wantNothingCaused()
	})
	t.Run("control", func(t *testing.T) {
		t.Parallel()
		upstream := startCounter(t)
		name := startRebinding(t)
		trials := trialsAt("rebind.test", name.address, "")
		name.visit(t, startUnprotected(t, upstream.url), attempts(trials), func(outcomes []outcome) {
			upstream.wantReached(t, trials, icon)
			for i, trial := range trials {
				if got := strings.Contains(outcomes[i].Read, apiAnswer); got != trial.readsOwn {
					t.Errorf("%s: the page read %q", trial.path, outcomes[i].Read)
				}
			}
		})
	})
}

func attempts(trials []trial) []attempt {
	var attempts []attempt
	for _, trial := range trials {
		attempts = append(attempts, attempt{trial.name, trial.url})
	}
	return attempts
}

func startBrowsed(t *testing.T) *broker {
	t.Helper()
	w := newWorld(t, time.Minute)
	b := w.start(t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret())
	b.wait()
	return b
}

// wantRefused waits until the request of each trial has come, which the log tells, and fails the test unless each was
// refused for its reason and counted.
func (b *broker) wantRefused(trials []trial) {
	b.t.Helper()
	counts := map[string]float64{}
	for _, trial := range trials {
		counts[trial.reason]++
		var reasons []string
		eventually(b.t, patience, trial.path+" reaches the broker", func() bool {
			reasons = b.denials(trial.path)
			return len(reasons) > 0
		})
		if slices.ContainsFunc(reasons, func(reason string) bool { return reason != trial.reason }) {
			b.t.Errorf("%s was refused for %q, want %q", trial.path, reasons, trial.reason)
		}
	}
	windows := len(trials) / len(techniques)
	eventually(b.t, patience, "each window's icon is asked for", func() bool { return len(b.denials(icon)) >= windows })
	for reason, want := range counts {
		if got := b.metric("requests_denied_total", `reason="`+reason+`"`); got < want {
			b.t.Errorf("%v requests are counted as refused for %s, want %v at least", got, reason, want)
		}
	}
}

// denials reads off the log why each request to the path was refused; empty stands for one that was not.
func (b *broker) denials(path string) []string {
	var denials []string
	for line := range strings.Lines(b.log.String()) {
		var entry struct{ Msg, Path, Denied string }
		if strings.Contains(line, path) && json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "request" && entry.Path == path {
			denials = append(denials, entry.Denied)
		}
	}
	return denials
}

// wantAppServed holds that what keeps a page out does not keep the app out.
func (b *broker) wantAppServed() {
	b.t.Helper()
	if got := b.get(b.app + "/channels"); got.status != http.StatusOK || got.body != apiAnswer {
		b.t.Errorf("the app got %d %s", got.status, got.body)
	}
}

// wantNothingCaused fails the test if the API saw anything but the app's request.
func (b *broker) wantNothingCaused() {
	b.t.Helper()
	for _, call := range b.world.api.all() {
		if call.path != "/channels" {
			b.t.Errorf("the page caused %s %s", call.method, call.path)
		}
	}
}
