package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/problem"
)

var example = problem.Problem{
	Code:         "example",
	Status:       http.StatusServiceUnavailable,
	Title:        "An example",
	Detail:       `the "example" <is> dówn`,
	Hint:         "Wait.",
	ProxyError:   "destination_unavailable",
	RetryAfter:   1200 * time.Millisecond,
	DenialReason: "host",
	Header:       http.Header{"Connection": {"close"}},
}

func TestRespondsWithProblemDetailsAndProxyStatus(t *testing.T) {
	recorder := httptest.NewRecorder()
	n, err := example.Respond(recorder)
	if err != nil || n != recorder.Body.Len() {
		t.Errorf("Respond returned %d, %v, want the body's length %d", n, err, recorder.Body.Len())
	}
	if recorder.Code != 503 {
		t.Errorf("got status %d, want 503", recorder.Code)
	}
	for name, want := range map[string]string{
		"Content-Type":           "application/problem+json",
		"Content-Length":         fmt.Sprint(n),
		"Cache-Control":          "no-store",
		"X-Content-Type-Options": "nosniff",
		"Proxy-Status":           `etrusted-broker; error=destination_unavailable; details="the \"example\" <is> d?wn"`,
		"Retry-After":            "2",
		"Connection":             "close",
	} {
		if got := recorder.Header().Get(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if !strings.Contains(recorder.Body.String(), "<is>") {
		t.Errorf("got %s, want < and > unescaped: people read it", recorder.Body)
	}
	var got map[string]any
	if err := json.Unmarshal(recorder.Body.Bytes(), &got); err != nil {
		t.Fatalf("got %v for %s", err, recorder.Body)
	}
	want := map[string]any{
		"type": "urn:etrusted-broker:problem:example", "title": "An example", "status": 503.0, "detail": `The "example" <is> dówn. Wait.`,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSendsNoRetryAfterIfWaitingDoesNotHelp(t *testing.T) {
	p := example
	p.RetryAfter = 0
	recorder := httptest.NewRecorder()
	_, _ = p.Respond(recorder)
	if got, found := recorder.Header()["Retry-After"]; found {
		t.Errorf("got Retry-After %q, want none", got)
	}
}

func TestProxyStatusEscapesDetails(t *testing.T) {
	for details, want := range map[string]string{
		"":                 `etrusted-broker; details=""`,
		"plain, with; all": `etrusted-broker; details="plain, with; all"`,
		`a "quote" and \`:  `etrusted-broker; details="a \"quote\" and \\"`,
		"a\r\nb\tc\x7f":    `etrusted-broker; details="a??b?c?"`,
		"ä€😀":              `etrusted-broker; details="???"`,
		"\xff":             `etrusted-broker; details="?"`,
	} {
		if got := problem.ProxyStatus("", details); got != want {
			t.Errorf("%q: got %s, want %s", details, got, want)
		}
	}
}

func TestIsComparesCodes(t *testing.T) {
	other := problem.Problem{Code: "other", Detail: example.Detail}
	same := problem.Problem{Code: "example", Detail: "something else"}
	for _, err := range []error{&example, fmt.Errorf("wrapped: %w", &example), errors.Join(io.EOF, &example)} {
		if !errors.Is(err, &same) || errors.Is(err, &other) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v: got Is %v for the same code, %v for another", err, errors.Is(err, &same), errors.Is(err, &other))
		}
	}
}

func TestWithCauseWrapsACopy(t *testing.T) {
	wrapped := example.WithCause(io.EOF)
	if !errors.Is(wrapped, io.EOF) || !errors.Is(wrapped, &example) || errors.Is(&example, io.EOF) {
		t.Errorf("got %v, want a copy that wraps the cause", wrapped)
	}
	if wrapped.Error() != example.Detail {
		t.Errorf("got text %q, want %q without the cause", wrapped.Error(), example.Detail)
	}
}
