package e2e

import "testing"

// TestInterceptUnmodifiedAppsWork: apps with hard-coded URLs work unchanged if the hosts file leads both names to the broker.
func TestInterceptUnmodifiedAppsWork(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	r := startRealNames(t)
	environ, caFile := r.byName(t)
	r.startBroker(t, environ...)
	t.Run("apps", func(t *testing.T) {
		for _, app := range []unmodifiedApp{
			{php, "curl"}, {php, "streams"}, {phpFPM, "curl"}, {phpFPM, "streams"}, {node, "fetch"}, {node, "undici"}, {node, "modules"},
			{java, "HttpClient"}, {java, "HttpURLConnection"}, {python, "urllib"}, {python, "requests"}, {shell, "curl"}, {shell, "wget"},
		} {
			t.Run(app.name(), func(t *testing.T) {
				t.Parallel()
				app.need(t)
				app.run(t, r, dummyCredentials.with(app.language.trustCA(t, caFile)))
			})
		}
	})
	r.wantNoAppCredentials(t)
}
