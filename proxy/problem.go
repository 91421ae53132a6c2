package proxy

import (
	"net/http"
	"time"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/http1"
)

// errClientClosed is for a client that went away before it had a response.
var errClientClosed = &problem.Problem{Code: "client-closed-request", Status: StatusClientClosedRequest}

var errBrokenBody = &problem.Problem{
	Code:       "broken-body",
	Status:     http.StatusBadRequest,
	Title:      "The request body is broken",
	ProxyError: "http_request_error",
	Detail:     "the request body is malformed or incomplete",
	Hint:       "Send as many bytes as Content-Length says, or chunks as in RFC 9112 section 7.1.",
	Close:      true,
}

var errUnknownAccount = &problem.Problem{
	Code:       "unknown-account",
	Status:     http.StatusNotFound,
	Title:      "Unknown account",
	ProxyError: "http_request_error",
	Detail:     "the account in /@NAME/ or in the placeholder token does not exist",
	Hint:       "Use the name of a directory in ETRUSTED_ACCOUNTS_DIR, or omit /@NAME for the default account. An app with an old placeholder token must fetch a new one.",
}

var errNoDefaultAccount = &problem.Problem{
	Code:       "no-default-account",
	Status:     http.StatusNotFound,
	Title:      "There is no default account",
	ProxyError: "http_request_error",
	Detail:     "the request names no account, and there is no default account",
	Hint:       "Name an account with /@NAME/ before the path, or set ETRUSTED_CLIENT_ID and ETRUSTED_CLIENT_SECRET. The first account in a caller's file accounts is its default account.",
}

var errNoAccountForAPI = &problem.Problem{
	Code:         "no-account-for-api",
	Status:       http.StatusMisdirectedRequest,
	Title:        "The broker refused the request",
	ProxyError:   "http_request_denied",
	DenialReason: string(access.ReasonTarget),
	Detail:       "the request is for an API that the account for requests without a name does not use, and not exactly one other account uses it",
	Hint:         "Name an account that uses this API: in the path, as /@NAME/, or as the client_id of the app's token request.",
}

var errAccountOfOtherAPI = &problem.Problem{
	Code:         "account-of-other-api",
	Status:       http.StatusMisdirectedRequest,
	Title:        "The broker refused the request",
	ProxyError:   "http_request_denied",
	DenialReason: string(access.ReasonTarget),
	Detail:       "the request is for another API than that of its account",
	Hint:         "Use an account of the API that the app calls, or check the account's file api_url.",
}

// errPassHostAddressRefused does not say which of the addresses it was: an app must not find out what else is at this machine.
var errPassHostAddressRefused = &problem.Problem{
	Code:         "address-refused",
	Status:       http.StatusForbidden,
	Title:        "The broker refused the request",
	ProxyError:   "destination_ip_prohibited",
	DenialReason: string(access.ReasonTarget),
	Detail:       "the host has an address that the broker does not connect to",
	Hint:         "Loopback, link-local, multicast and cloud metadata addresses are refused unless BROKER_PASS_HOSTS contains the address itself; those at which the broker listens always are.",
}

// errTokenTimeout is for errors of a TokenSource that say nothing for the app.
var errTokenTimeout = &problem.Problem{
	Code:       "token-timeout",
	Status:     http.StatusServiceUnavailable,
	Title:      "There is no valid access token",
	ProxyError: "destination_unavailable",
	Detail:     "no access token arrived in time",
	Hint:       "Try again soon.",
	RetryAfter: time.Second,
}

// describeMalformed returns the problem of a request that package http1 has refused.
func describeMalformed(err *http1.RequestError) *problem.Problem {
	return &problem.Problem{
		Code:         "malformed-" + err.Code,
		Status:       err.Status,
		Title:        "The request is malformed",
		ProxyError:   "http_request_error",
		Detail:       err.Detail,
		Hint:         err.Hint,
		DenialReason: string(access.ReasonMalformed),
		Close:        true,
	}
}
