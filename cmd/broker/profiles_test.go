package main

import (
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/fakeetrusted"
)

func TestProfiles(t *testing.T) {
	t.Parallel()
	url := serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{}))
	for _, test := range []struct {
		name    string
		environ []string
		want    map[string]int
	}{
		{"off", nil, map[string]int{"/debug/pprof/": 404, "/debug/pprof/heap": 404}},
		{"on", []string{"BROKER_PPROF=true"}, map[string]int{
			"/debug/pprof/": 200, "/debug/pprof/heap?debug=1": 200, "/debug/pprof/profile?seconds=1": 200, "/debug/pprof/symbol": 200,
			"/healthz": 200, "/status.json": 200, "/nowhere": 404,
			// Neither is needed, and each tells more than where time goes.
			"/debug/pprof/cmdline": 404, "/debug/pprof/trace?seconds=1": 404,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, nil, environFor(url, test.environ...))
			for path, want := range test.want {
				if got := get(t, b.admin+path); got.status != want {
					t.Errorf("%s: %d, want %d", path, got.status, want)
				}
			}
			// Never where the app is: there it is a path of the API.
			if got := get(t, b.url+"/debug/pprof/heap"); got.status != http.StatusNotFound || strings.Contains(got.body, "heap") {
				t.Errorf("the app's listener: %d %s", got.status, got.body)
			}
			request, err := http.NewRequest(http.MethodGet, b.admin+"/debug/pprof/heap", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Sec-Fetch-Site", "cross-site")
			if got := do(request, nil); got.status != http.StatusForbidden {
				t.Errorf("a web page: %d", got.status)
			}
		})
	}
}
