package main

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// Raced is whether the race detector is on. Pools then drop at random what is put into them.
var Raced bool

// TestAllocationsStayWithinBudget holds what a request may cost in allocations, over what it costs without the broker: client and API are in
// the same process, and so in both figures. Most of it is net/http's, whose server and client a request passes once more, and
// with another toolchain that part may be another. Otherwise, whoever exceeds a budget has made a mistake, or has decided to
// pay that price and writes it here.
func TestAllocationsStayWithinBudget(t *testing.T) { // not parallel: it counts what other tests allocate, too
	if Raced {
		t.Skip("the race detector allocates")
	}
	eTrusted := brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))
	var page []byte
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write(page)
	}))
	t.Cleanup(api.Close)
	page = []byte(`{"paging":{"links":{"next":"` + api.URL + `/reviews?after=x"}},"items":["` + strings.Repeat("x", 1000) + `"]}`)
	direct := slices.Max(allocationsPerRequest(t, api.URL))
	for _, test := range []struct {
		name    string
		budget  float64
		environ []string
	}{
		{"as it comes", 87, nil},
		{"without links", 78, []string{"BROKER_REWRITE_LINKS=false"}},
		{"with an access key and rules", 81, []string{"BROKER_REWRITE_LINKS=false", "BROKER_ACCESS_KEY=0123456789abcdef", "BROKER_ALLOW=GET /reviews"}},
	} {
		environ := brokertest.Environ(eTrusted, append(test.environ, "ETRUSTED_API_URL="+api.URL, "ETRUSTED_TOKEN_URL="+eTrusted+"/oauth/token")...)
		b := startBroker(t, nil, environ)
		b.WaitReady()
		if got := math.Round(slices.Min(allocationsPerRequest(t, b.URL)) - direct); got > test.budget {
			t.Errorf("%s: %v allocations a request, the budget is %v", test.name, got, test.budget)
		}
		b.Stop()
	}
}

// allocationsPerRequest is how many a request takes, over a connection that is kept: measured several times, since what else runs in
// the process (the collector, which empties the pools, a timer, the end of what came before) adds a few to the sum or hides
// one of them. On a busy machine it does so often. So the least of the broker's figures is taken, and the most of the others',
// with their fractions, which are the noise: without them, 58.997 would be 58, and a whole allocation too few.
func allocationsPerRequest(t *testing.T, url string) []float64 {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequest(http.MethodGet, url+"/reviews?count=2", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer 0123456789abcdef")
	const measurements, requests = 5, 300
	var counted []float64
	for range measurements {
		counted = append(counted, testing.AllocsPerRun(1, func() {
			for range requests {
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				if _ = response.Body.Close(); response.StatusCode != http.StatusOK {
					t.Fatal(response.Status)
				}
			}
		})/requests)
	}
	return counted
}
