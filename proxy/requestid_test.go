package proxy_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"etrusted-broker/proxy"
)

// withRequestIDs gives requests without an ID one.
func withRequestIDs(s *setup) { s.RequestID = func() string { return "made-by-the-broker" } }

func TestForwardsAndRecordsRequestID(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 64)
	for _, test := range []struct {
		name       string
		sent       []string
		changes    []func(*setup)
		passed     []string // to the API
		reportedAs string
	}{
		{"none, and none is made", nil, nil, nil, ""},
		{"kept, though none would be made", []string{"of-the-app"}, nil, []string{"of-the-app"}, "of-the-app"},
		{"made", nil, []func(*setup){withRequestIDs}, []string{"made-by-the-broker"}, "made-by-the-broker"},
		{"made for an empty one", []string{""}, []func(*setup){withRequestIDs}, []string{"made-by-the-broker"}, "made-by-the-broker"},
		{"kept", []string{"of-the-app"}, []func(*setup){withRequestIDs}, []string{"of-the-app"}, "of-the-app"},
		{"two pass as they are", []string{"a", "b"}, []func(*setup){withRequestIDs}, []string{"a", "b"}, "a"},
		{"a long one passes whole", []string{long}, []func(*setup){withRequestIDs}, []string{long}, long[:128]},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			up := startRecorder(t, h1, nil)
			b := start(t, up.url, test.changes...)
			request := b.request(t, "GET", "/x", nil)
			request.Header["X-Request-Id"] = test.sent
			answer := b.do(t, request)
			if got := up.request(t).header["X-Request-Id"]; !slices.Equal(got, test.passed) {
				t.Errorf("the API got %q, want %q", got, test.passed)
			}
			if got := b.record(t).RequestID; got != test.reportedAs {
				t.Errorf("reported as %q, want %q", got, test.reportedAs)
			}
			if got := answer.header["X-Request-Id"]; got != nil {
				t.Errorf("got X-Request-Id %q at the app, want none", got)
			}
		})
	}
}

// A request that is sent again keeps its ID.
func TestRetryKeepsRequestID(t *testing.T) {
	t.Parallel()
	var ids []string
	url := serve(t, h1, func(w http.ResponseWriter, r *http.Request) {
		ids = append(ids, r.Header.Get("X-Request-Id")) // one after the other
		if r.Header.Get("Authorization") == "Bearer refused" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	b := start(t, url, withRequestIDs, func(s *setup) {
		s.Retry = true
		s.Tokens = accounts{"": &fakeTokens{
			current:    "Bearer refused",
			invalidate: func(string) bool { return true },
			wait:       func(context.Context) (string, error) { return authorization, nil },
		}}.tokens
	})
	if got := b.get(t, "/x"); got.status != http.StatusOK {
		t.Fatalf("got %d, want 200", got.status)
	}
	record := b.record(t)
	if !record.Retry.Sent() || !slices.Equal(ids, []string{"made-by-the-broker", "made-by-the-broker"}) {
		t.Errorf("got retry %q with IDs %q, want one retry with the same ID", record.Retry, ids)
	}
}

func TestRetryOutcomeSent(t *testing.T) {
	t.Parallel()
	want := map[proxy.RetryOutcome]bool{
		"": false, proxy.RetryAuthorized: true, proxy.RetryUnauthorized: true, proxy.RetryFailed: true,
		proxy.RetryBodyNotKept: false, proxy.RetryNoToken: false,
	}
	for _, outcome := range append(proxy.RetryOutcomes[:], "") {
		if sent, known := want[outcome]; !known || outcome.Sent() != sent {
			t.Errorf("%q: got %v, want the opposite", outcome, outcome.Sent())
		}
	}
}

const (
	appTraceID  = "0af7651916cd43dd8448eb211c80319c"
	traceparent = "00-" + appTraceID + "-b7ad6b7169203331-01"
)

func TestRecordsOnlyValidTraceparent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		sent []string
		want string
	}{
		{"none", nil, ""},
		{"sampled", []string{traceparent}, appTraceID},
		{"not sampled", []string{traceparent[:53] + "00"}, appTraceID},
		{"a later version", []string{"01" + traceparent[2:]}, appTraceID},
		{"a later version that says more", []string{"cc" + traceparent[2:] + "-what-the-future-will-be"}, appTraceID},
		{"a later version that runs on", []string{"cc" + traceparent[2:] + "what-the-future-will-be"}, ""},
		{"this version says more", []string{traceparent + "-more"}, ""},
		{"the invalid version", []string{"ff" + traceparent[2:]}, ""},
		{"capitals", []string{strings.ToUpper(traceparent)}, ""},
		{"no hexadecimal", []string{strings.Replace(traceparent, "0af", "0xf", 1)}, ""},
		{"no trace", []string{"00-00000000000000000000000000000000-b7ad6b7169203331-01"}, ""},
		{"no parent", []string{"00-" + appTraceID + "-0000000000000000-01"}, ""},
		{"fields of other lengths", []string{"00-" + appTraceID + "b-7ad6b7169203331-01"}, ""},
		{"no hyphen before the trace", []string{"000" + traceparent[3:]}, ""},
		{"no hyphen after it", []string{traceparent[:35] + "0" + traceparent[36:]}, ""},
		{"no hyphen before the flags", []string{traceparent[:52] + "0" + traceparent[53:]}, ""},
		{"short", []string{traceparent[:54]}, ""},
		{"empty", []string{""}, ""},
		{"two", []string{traceparent, traceparent}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			up := startRecorder(t, h1, nil)
			b := start(t, up.url)
			request := b.request(t, "GET", "/x", nil)
			request.Header["Traceparent"] = test.sent
			request.Header["Tracestate"] = []string{"vendor=opaque"}
			b.do(t, request)
			got := up.request(t).header
			if !slices.Equal(got["Traceparent"], test.sent) || !slices.Equal(got["Tracestate"], []string{"vendor=opaque"}) {
				t.Errorf("got %q %q, want both fields unchanged", got["Traceparent"], got["Tracestate"])
			}
			if got := b.record(t).TraceID; got != test.want {
				t.Errorf("trace %q, want %q", got, test.want)
			}
		})
	}
}

func TestCountsBytesSentToTheApp(t *testing.T) {
	t.Parallel()
	const size = 100_000 // more than one read
	url := serve(t, h1, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, size))
	})
	b := start(t, url)
	for _, test := range []struct {
		method, target string
		status         int
		length         int64 // -1: the length of the body received
	}{
		{"GET", "/x", 200, size},
		{"HEAD", "/x", 200, 0},
		{"GET", "/@unknown/x", 404, -1},
		{"HEAD", "/@unknown/x", 404, 0},
	} {
		answer := b.do(t, b.request(t, test.method, test.target, nil))
		record := b.record(t)
		want := test.length
		if want < 0 {
			want = int64(len(answer.body))
		}
		if record.Status != test.status || record.Bytes != want {
			t.Errorf("%s %s: %d with %d bytes, want %d with %d", test.method, test.target, record.Status, record.Bytes, test.status, want)
		}
	}
}
