package admin

import (
	"slices"
	"strings"
	"sync"
	"time"

	"etrusted-broker/internal/printable"
)

// FailedRequest is a request that the broker refused, or that failed.
type FailedRequest struct {
	At time.Time `json:"at"`
	// Count is the number of such requests: same method, path, status and code. At is the time of the last one.
	Count   uint64 `json:"count"`
	Account string `json:"account,omitempty"` // empty if it was refused before its account was known
	Caller  string `json:"caller,omitempty"`  // empty if it is unknown, or if there are no named callers
	Method  string `json:"method"`
	Path    string `json:"path"` // without query; its first 200 bytes
	Status  int    `json:"status"`
	// Local reports that the broker answered, not the API.
	Local bool `json:"local"`
	// Code is the code of the broker's own answer; empty for the API's.
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason"`
	// Hint says what would allow the request, or what else to do; empty if only the API knows.
	Hint string `json:"hint,omitempty"`
}

// recentFailedRequests has the last 20 failed requests, oldest first: at most some 20 kB, because everything that a client chooses
// is cut.
type recentFailedRequests struct {
	mu   sync.Mutex
	last []FailedRequest
}

// record adds a failure. An app that repeats the same request has one entry.
func (f *recentFailedRequests) record(failure FailedRequest, now time.Time) {
	failure.At, failure.Count = now.UTC(), 1
	// Copies, because both are part of the string that has the whole header, with the query and the app's credentials.
	failure.Method = strings.Clone(printable.Escape(failure.Method, 16))
	failure.Path = strings.Clone(printable.Escape(failure.Path, 200))
	if failure.Reason == "" {
		failure.Reason, failure.Hint = explain(failure)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	same := slices.IndexFunc(f.last, func(other FailedRequest) bool {
		return other.Method == failure.Method && other.Path == failure.Path && other.Status == failure.Status &&
			other.Code == failure.Code && other.Account == failure.Account && other.Caller == failure.Caller
	})
	if same >= 0 {
		failure.Count += f.last[same].Count
		f.last = slices.Delete(f.last, same, same+1)
	}
	f.last = append(f.last, failure)
	f.last = slices.Delete(f.last, 0, max(0, len(f.last)-20))
}

// newestFirst returns a copy of the failures.
func (f *recentFailedRequests) newestFirst() []FailedRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := append([]FailedRequest{}, f.last...)
	slices.Reverse(all)
	return all
}

// explain returns reason and hint of a failure that no problem of the broker describes.
func explain(failure FailedRequest) (reason, hint string) {
	switch {
	case failure.Status == 499:
		return "the app disconnected before the response", "Compare the app's timeout with the time that the API takes."
	case failure.Local:
		return "the app's own token request was refused", "The response says why, in error_description."
	case failure.Status == 401 || failure.Status == 403:
		return "the API refused the request", "The client may lack a right for it: see the roles that etrusted-broker check prints."
	case failure.Status == 429:
		return "the API received too many requests", "Send fewer requests, or ask eTrusted about your limits."
	case failure.Status >= 500:
		return "the API failed", "Its response was passed on unchanged. Try again later; if this lasts, check the eTrusted status page."
	default:
		return "the API answered with an error", "Its response says why, and was passed on unchanged."
	}
}
