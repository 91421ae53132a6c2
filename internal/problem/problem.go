// Package problem defines the one type that describes what the broker refuses or cannot do: to an app as a response, to
// an operator as a message, and to the code as an error.
package problem

import "time"

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
	Fields []Field
	Close  bool

	cause error
}

// Field is a field line of a response.
type Field struct{ Name, Value string }

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
