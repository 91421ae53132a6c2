// Package problem defines the one type that describes what the broker refuses or cannot do: to an app as a response, to
// an operator as a message, and to the code as an error.
package problem

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Problem is an error that says what happened and what to do. All its texts are written in this program: they contain no
// secret, no token, and nothing that a client or a server sent, so they may be logged and sent. A Problem must not be
// changed once it is in use: requests share those that are package variables.
type Problem struct {
	// Code identifies the problem. It is short, unique and stable: it is the last part of the type in responses, and Is
	// compares it.
	Code string
	// Status is the HTTP status code of the response.
	Status int
	// Title is a summary that is the same for all occurrences.
	Title string
	// Detail says what happened, as errors do: in lower case, without a period.
	Detail string
	// Hint says what to do, in whole sentences.
	Hint string
	// ProxyError is the proxy error type of RFC 9209 section 2.3.
	ProxyError string
	// RetryAfter is how long a client should wait before it tries again; zero means that waiting does not help.
	RetryAfter time.Duration
	// DenialReason is why a request was denied access, a label of the metric requests_denied_total; empty if it was not.
	DenialReason string
	// Fields are further fields of the response. Close means that the connection is closed after it.
	Fields []HeaderField
	Close  bool

	cause error
}

// HeaderField is a field line of a response.
type HeaderField struct{ Name, Value string }

// Error returns Detail.
func (p *Problem) Error() string { return p.Detail }

// Is reports whether target is a Problem with the same code.
func (p *Problem) Is(target error) bool {
	other, ok := target.(*Problem)
	return ok && other.Code == p.Code
}

// Unwrap returns the cause given to WithCause.
func (p *Problem) Unwrap() error { return p.cause }

// WithCause returns a copy of p that wraps err. The texts do not change: err may quote what a peer sent.
func (p *Problem) WithCause(err error) *Problem {
	wrapped := *p
	wrapped.cause = err
	return &wrapped
}

// ProxyName is the broker's name in Proxy-Status and Via.
const ProxyName = "etrusted-broker"

// Response returns the fields and the body of the response: problem details (RFC 9457), and a Proxy-Status field (RFC 9209),
// which distinguishes it from a response of the API. The fields say nothing about the body's length or the connection.
func (p *Problem) Response() (fields []HeaderField, body []byte) {
	fields = append([]HeaderField{
		{"Content-Type", "application/problem+json"},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
		{"Proxy-Status", ProxyStatus(p.ProxyError, p.Detail)},
	}, p.Fields...)
	if p.RetryAfter > 0 {
		fields = append(fields, HeaderField{"Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds())))})
	}
	var details bytes.Buffer
	encoder := json.NewEncoder(&details)
	encoder.SetEscapeHTML(false) // people read it as JSON, not inside a page
	detail := strings.ToUpper(p.Detail[:1]) + p.Detail[1:] + ". " + p.Hint
	err := encoder.Encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"urn:etrusted-broker:problem:" + p.Code, p.Title, p.Status, detail})
	if err != nil {
		panic(err) // impossible for strings and a number
	}
	return fields, details.Bytes()
}

// ProxyStatus returns a Proxy-Status field (RFC 9209 section 2) for a response of the broker. errorType is empty if the
// response is no error.
func ProxyStatus(errorType, details string) string {
	status := ProxyName
	if errorType != "" {
		status += "; error=" + errorType
	}
	return status + "; details=" + structuredFieldString(details)
}

// structuredFieldString returns text as a string of RFC 8941 section 3.3.3, which contains only printable ASCII.
func structuredFieldString(text string) string {
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return strconv.Quote(ascii) // which only has quotes and backslashes to escape
}
