package problem_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
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
	Fields:       []problem.HeaderField{{Name: "Allow", Value: "GET"}},
}

func TestRespondsWithProblemDetailsAndProxyStatus(t *testing.T) {
	fields, body := example.Response()
	got := make(map[string]string)
	for _, field := range fields {
		got[field.Name] = field.Value
	}
	want := map[string]string{
		"Content-Type":           "application/problem+json",
		"Cache-Control":          "no-store",
		"X-Content-Type-Options": "nosniff",
		"Proxy-Status":           `etrusted-broker; error=destination_unavailable; details="the \"example\" <is> d?wn"`,
		"Retry-After":            "2",
		"Allow":                  "GET",
	}
	if !maps.Equal(got, want) || len(fields) != len(want) {
		t.Errorf("got fields %v, want %v", fields, want)
	}
	if !strings.Contains(string(body), "<is>") {
		t.Errorf("got %s, want < and > unescaped: people read it", body)
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatalf("got %v for %s", err, body)
	}
	wantMembers := map[string]any{
		"type": "urn:etrusted-broker:problem:example", "title": "An example", "status": 503.0, "detail": `The "example" <is> dówn. Wait.`,
	}
	if !maps.Equal(members, wantMembers) {
		t.Errorf("got %v, want %v", members, wantMembers)
	}
}

func TestSendsNoRetryAfterIfWaitingDoesNotHelp(t *testing.T) {
	p := example
	p.RetryAfter = 0
	fields, _ := p.Response()
	for _, field := range fields {
		if field.Name == "Retry-After" {
			t.Errorf("got Retry-After %q, want none", field.Value)
		}
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
