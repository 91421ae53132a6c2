package main

import (
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

func TestServesProfilesOnlyIfEnabled(t *testing.T) {
	t.Parallel()
	url := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	for _, test := range []struct {
		name    string
		environ []string
		want    map[string]int
	}{
		{"off", nil, map[string]int{"/debug/pprof/": 404, "/debug/pprof/heap": 404}},
		{"on", []string{"BROKER_PPROF=true"}, map[string]int{
			"/debug/pprof/": 200, "/debug/pprof/heap?debug=1": 200, "/debug/pprof/profile?seconds=1": 200, "/debug/pprof/symbol": 200,
			"/healthz": 200, "/status.json": 200, "/nowhere": 404,
			// Neither is needed, and each shows more than where time goes.
			"/debug/pprof/cmdline": 404, "/debug/pprof/trace?seconds=1": 404,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, nil, brokertest.Environ(url, test.environ...))
			for path, want := range test.want {
				if got := brokertest.Get(t, b.Admin+path); got.Status != want {
					t.Errorf("%s: got status %d, want %d", path, got.Status, want)
				}
			}
			// On the app's listener, it is a path of the API.
			if got := brokertest.Get(t, b.URL+"/debug/pprof/heap"); got.Status != http.StatusNotFound || strings.Contains(got.Body, "heap") {
				t.Errorf("the app's listener: got status %d, want the API's 404: %s", got.Status, got.Body)
			}
			request, err := http.NewRequest(http.MethodGet, b.Admin+"/debug/pprof/heap", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Sec-Fetch-Site", "cross-site")
			if got := brokertest.Do(request, nil); got.Status != http.StatusForbidden {
				t.Errorf("a web page of another site: got status %d, want 403", got.Status)
			}
		})
	}
}
