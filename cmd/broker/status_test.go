package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// The status counts each request by its result, by who answered it, and by account.
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
		b.WaitRecorded() // in this order
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	send("GET", "/channels", http.Header{})
	send("GET", "/nowhere?secret=1", http.Header{})                       // the API's 404
	send("GET", "/@unknown/channels", http.Header{})                      // answered by the broker, for no account
	send("GET", "/channels", http.Header{"Origin": {"https://evil.org"}}) // the same
	send("POST", "/oauth/token", form)                                    // answered by the broker, with success
	eTrusted.SetAPIFault(fakeetrusted.Status(503, nil))
	send("GET", "/channels", http.Header{})

	var status admin.Status
	if err := json.Unmarshal([]byte(brokertest.Get(t, b.Admin+"/status.json").Body), &status); err != nil {
		t.Fatal(err)
	}
	if got := status.Requests.Total; got.All != 6 || got.Success+got.ClientError+got.ServerError+got.Redirect+got.ClientClosed != 6 || got.Local != 3 || got.ClientError != 3 {
		t.Errorf("got the totals %+v, want 6 requests, 3 of them by the broker and 3 client errors", got)
	}
	if got := status.Accounts[0].Requests.Total; got.All != 4 || got.Local != 1 || got.ClientError != 1 {
		t.Errorf("got the totals of the default account %+v, want 4 requests, 1 of them by the broker and 1 client error", got)
	}
	if status.Denied["browser"] != 1 || status.Denied["host"] != 0 {
		t.Errorf("got the refusals %v, want 1 of a browser and 0 of a host", status.Denied)
	}
	var reasons []string
	for _, line := range b.Logs.Lines("requests refused; what follows count is about the last one") {
		reasons = append(reasons, fmt.Sprint(line["reason"], " ", line["path"], " ", line["code"]))
	}
	if want := []string{"unknown-account /@unknown/channels unknown-account", "browser /channels browser-request"}; !slices.Equal(reasons, want) {
		t.Errorf("got the lines about refused requests %q, want %q", reasons, want)
	}
	var failures []string
	for _, failure := range status.Failures {
		failures = append(failures, fmt.Sprintln(failure.Account, failure.Method, failure.Path, failure.Status, failure.Code, failure.Hint != ""))
	}
	want := []string{
		"default GET /channels 503  true\n", " GET /channels 403 browser-request true\n",
		" GET /@unknown/channels 404 unknown-account true\n", "default GET /nowhere 404  true\n",
	}
	if !slices.Equal(failures, want) {
		t.Errorf("got the failures %q, want %q", failures, want)
	}
	if got := status.ConnectionInfo; got.URL != b.URL || got.Curl != "curl" || got.API == "" {
		t.Errorf("got the connection info %+v, want the URL %s", got, b.URL)
	}
	if status.Cause != admin.CauseAPI || status.State != admin.BrokerDegraded {
		t.Errorf("one of three requests failed at the API: got %+v, want degraded because of the API", status.Diagnosis)
	}
}
