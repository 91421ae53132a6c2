package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// TestStatusCountsRequests holds the way from a request to what the status page says of it: who answered, and of whom it was.
func TestStatusCountsRequests(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	b := startBroker(t, nil, brokertest.Environ(brokertest.Serve(t, eTrusted)))
	b.WaitReady()
	send := func(method, path string, header http.Header) {
		t.Helper()
		request, err := http.NewRequest(method, b.URL+path, strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = header
		if got := brokertest.Do(request, nil); got.Err != nil {
			t.Fatal(got.Err)
		}
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	send("GET", "/channels", http.Header{})
	send("GET", "/nowhere", http.Header{})                                // the API's 404
	send("GET", "/@nobody/channels", http.Header{})                       // the broker's, of no account
	send("GET", "/channels", http.Header{"Origin": {"https://evil.org"}}) // the same
	send("POST", "/oauth/token", form)                                    // the broker's, and no problem
	eTrusted.SetAPIFault(fakeetrusted.Status(503, nil))
	send("GET", "/channels", http.Header{})

	var status admin.Status
	told := func() bool {
		if err := json.Unmarshal([]byte(brokertest.Get(t, b.Admin+"/status.json").Body), &status); err != nil {
			t.Fatal(err)
		}
		return status.Requests.Total.All == 6
	}
	brokertest.Eventually(t, "all are counted", told)
	if got := status.Requests.Total; got.Success+got.ClientError+got.ServerError+got.Redirect+got.Gone != 6 || got.ByBroker != 3 || got.ClientError != 3 {
		t.Errorf("all: %+v", got)
	}
	if got := status.Accounts[0].Requests.Total; got.All != 4 || got.ByBroker != 1 || got.ClientError != 1 {
		t.Errorf("the default account: %+v", got)
	}
	if status.Denied["browser"] != 1 || status.Denied["host"] != 0 {
		t.Errorf("denied: %v", status.Denied)
	}
	if status.AtFault != admin.API || status.State != admin.Degraded {
		t.Errorf("one of three requests failed at the API, and it says: %+v", status.Verdict)
	}
}
