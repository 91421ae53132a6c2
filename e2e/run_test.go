package e2e

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// withDummyCredentials is for programs that insist on credentials: "broker run" removes those that it was given.
var withDummyCredentials = []string{"env", "ETRUSTED_CLIENT_ID=" + dummyID, "ETRUSTED_CLIENT_SECRET=" + dummySecret}

// behindRun returns the language with "broker run" in front of its command.
func (l *language) behindRun(arguments ...string) *language {
	behind := *l
	behind.command = append(append([]string{brokerBinary, "run", "-timeout", brokertest.Timeout.String()}, arguments...), l.command...)
	return &behind
}

// TestRunInterceptsUnmodifiedApps: apps with hard-coded URLs that honour a proxy work unchanged behind "broker run -intercept". The
// programs in testdata use the URLs in the environment if there are any.
func TestRunInterceptsUnmodifiedApps(t *testing.T) {
	t.Parallel()
	for _, app := range []unmodifiedApp{
		{php, "curl"}, {php, "streams"}, {node, "fetch"}, {node, "undici"}, {node, "modules"}, {java, "HttpClient"}, {java, "HttpURLConnection"},
		{python, "urllib"}, {python, "requests"}, {shell, "curl"},
	} {
		t.Run(app.name(), func(t *testing.T) {
			t.Parallel()
			app.need(t)
			if app.library == "fetch" {
				needNodeProxySupport(t)
			}
			r := startReviewsServersAs(t, realAPIHost, realLoginHost)
			app.language = app.language.behindRun(append([]string{"-intercept", "--", "env", "-u", "ETRUSTED_API_URL", "-u", "ETRUSTED_TOKEN_URL"}, withDummyCredentials...)...)
			app.run(t, r, withEnv(r.runEnviron()...))
			r.wantNoAppCredentials(t)
		})
	}
}

// TestRunLeadsAppsToTheBroker: an app that reads the URLs from the environment needs no option.
func TestRunLeadsAppsToTheBroker(t *testing.T) {
	t.Parallel()
	app := unmodifiedApp{php, "curl"}
	app.need(t)
	r := startReviewsServers(t)
	app.language = app.language.behindRun(append([]string{"--"}, withDummyCredentials...)...)
	app.run(t, r, withEnv(r.runEnviron()...))
	r.wantNoAppCredentials(t)
}

var reviewID = regexp.MustCompile(`^rev-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// TestRunDemoNeedsNothing: the examples work with "broker run -demo" on a machine without settings, credentials and network.
func TestRunDemoNeedsNothing(t *testing.T) {
	t.Parallel()
	for _, example := range []struct {
		language *language
		file     string
		command  []string // in front of the program's
	}{
		{php, "../examples/php/after.php", nil},
		{php, "../examples/php/before.php", withDummyCredentials},
		{node, "../examples/node/after.mjs", nil},
		{node, "../examples/node/before.mjs", withDummyCredentials},
		{java, "../examples/java/After.java", nil},
		{java, "../examples/java/Before.java", withDummyCredentials},
		{python, "testdata/reviews.py", withDummyCredentials},
	} {
		t.Run(filepath.Base(example.file), func(t *testing.T) {
			t.Parallel()
			example.language.need(t)
			demo := example.language.behindRun(append([]string{"-demo", "--"}, example.command...)...)
			printed, err := demo.run(t, filepath.FromSlash(example.file), withEnv("ORDER=demo"))
			printed = slices.DeleteFunc(printed, func(id string) bool { return strings.HasPrefix(id, "evt-") }) // reviews.py sends an order too
			reviews := slices.Compact(slices.Sorted(slices.Values(printed)))
			isNoID := func(text string) bool { return !reviewID.MatchString(text) }
			if err != nil || len(printed) != 60 || len(reviews) != 60 || slices.ContainsFunc(reviews, isNoID) {
				t.Errorf("got %d lines, %q and %v, want a line for each of the demo's 60 reviews, with its id", len(printed), printed, err)
			}
		})
	}
}

// runEnviron returns the variables of a broker that is started with "broker run".
func (r *reviewsServers) runEnviron() []string {
	return append(r.environ(), "SSL_CERT_FILE="+r.ca.certFile, "ETRUSTED_AUDIENCE="+r.api.url)
}
