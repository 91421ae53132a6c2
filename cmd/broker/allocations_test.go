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

// The budgets are the allocations per request beyond those without the broker: the client and the API run in the same process,
// so both figures include theirs. Most allocations are net/http's, whose server and client handle the request once more, so
// another toolchain may need other budgets. Raise a budget only for a change that is worth its cost.
func TestAllocationsStayWithinBudget(t *testing.T) { // not parallel: it would count the allocations of other tests
	if brokertest.RaceDetector {
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
		{"with defaults", 87, nil},
		{"without links", 78, []string{"BROKER_REWRITE_LINKS=false"}},
		{"with an access key and rules", 81, []string{"BROKER_REWRITE_LINKS=false", "BROKER_ACCESS_KEY=0123456789abcdef", "BROKER_ALLOW=GET /reviews"}},
	} {
		environ := brokertest.Environ(eTrusted, append(test.environ, "ETRUSTED_API_URL="+api.URL, "ETRUSTED_TOKEN_URL="+eTrusted+"/oauth/token")...)
		b := startBroker(t, nil, environ)
		b.WaitReady()
		if got := math.Round(slices.Min(allocationsPerRequest(t, b.URL)) - direct); got > test.budget {
			t.Errorf("%s: got %v allocations per request, want at most %v", test.name, got, test.budget)
		}
		b.Stop()
	}
}

// allocationsPerRequest measures several times how many allocations a request takes over a persistent connection. Other work
// in the process (the garbage collector, which empties the pools, timers, earlier tests) adds a few allocations or hides one,
// often so on a busy machine. So the test takes the smallest figure with the broker and the largest without, with their
// fractions, which are that noise: rounded down, 58.997 would be 58, one allocation too few.
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
