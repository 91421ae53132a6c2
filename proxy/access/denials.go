package access

import (
	"net/http"

	"etrusted-broker/internal/problem"
)

// DenialReason is why a request was denied: a closed set, used as the label of a metric.
type DenialReason string

// The reasons for a denial.
const (
	ReasonHost        DenialReason = "host"        // the host is not allowed: DNS rebinding, or a name missing from the configuration
	ReasonBrowser     DenialReason = "browser"     // a web page sent it
	ReasonMethod      DenialReason = "method"      // CONNECT, TRACE
	ReasonUpgrade     DenialReason = "upgrade"     // it asks for another protocol
	ReasonTarget      DenialReason = "target"      // it is for another server
	ReasonPath        DenialReason = "path"        // dot segments, backslashes, control characters
	ReasonKey         DenialReason = "key"         // the caller is unknown: the access key is missing or wrong
	ReasonAccount     DenialReason = "account"     // the caller may not use the account
	ReasonCertificate DenialReason = "certificate" // the client certificate has expired, or its CA was removed
	ReasonRule        DenialReason = "rule"        // the allow list does not include this method and path
	ReasonMalformed   DenialReason = "malformed"   // it violates RFC 9112: see package http1
	ReasonEvicted     DenialReason = "connections" // a connection was closed to make room for another: see package http1
	ReasonHandshake   DenialReason = "handshake"   // a TLS handshake failed
)

// Reasons lists all reasons.
var Reasons = [...]DenialReason{
	ReasonHost, ReasonBrowser, ReasonMethod, ReasonUpgrade, ReasonTarget, ReasonPath,
	ReasonKey, ReasonAccount, ReasonCertificate, ReasonRule, ReasonMalformed, ReasonEvicted, ReasonHandshake,
}

// newDenial completes a problem with what all denials have in common.
func newDenial(reason DenialReason, p problem.Problem) *problem.Problem {
	p.Title = "The broker refused the request"
	p.ProxyError = "http_request_denied"
	p.DenialReason = string(reason)
	return &p
}

// errClientUntrusted closes the connection: a client can present another certificate only on another connection.
var errClientUntrusted = newDenial(ReasonCertificate, problem.Problem{
	Code:   "client-certificate-untrusted",
	Status: http.StatusForbidden,
	Detail: "the client certificate of this connection has expired, or its CA is no longer trusted",
	Hint:   "Open a new connection with a valid certificate from a CA in BROKER_TLS_CLIENT_CA_FILE.",
	Close:  true,
})

var errMethodNotAllowed = newDenial(ReasonMethod, problem.Problem{
	Code:   "method-not-allowed",
	Status: http.StatusMethodNotAllowed,
	Detail: "CONNECT and TRACE are not supported",
	Hint:   "Use the broker as the API's base URL. CONNECT needs BROKER_INTERCEPT_CA_DIR or BROKER_PASS_HOSTS, and TRACE would send the token back to its sender.",
	Fields: []problem.Field{{Name: "Allow", Value: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}},
})

var errOtherHostNotAllowed = newDenial(ReasonTarget, problem.Problem{
	Code:   "target-not-allowed",
	Status: http.StatusForbidden,
	Detail: "the request is for a host other than the API",
	Hint:   "Send the broker requests for the API's host, or only a path; list other hosts in the app's NO_PROXY, or in BROKER_PASS_HOSTS to let their requests pass through.",
})

var errHostNotAllowed = newDenial(ReasonHost, problem.Problem{
	Code:   "host-not-allowed",
	Status: http.StatusMisdirectedRequest,
	Detail: "the Host header is not an allowed host name",
	Hint:   "Call the broker as http://localhost:8080, or add the name to BROKER_ALLOWED_HOSTS.",
})

var errBrowserRequest = newDenial(ReasonBrowser, problem.Problem{
	Code:   "browser-request",
	Status: http.StatusForbidden,
	Detail: "the request comes from a web page in a browser",
	Hint:   "Only programs may use the broker: call it from your server, without an Origin header.",
})

var errUpgradeNotSupported = newDenial(ReasonUpgrade, problem.Problem{
	Code:   "upgrade-not-supported",
	Status: http.StatusForbidden,
	Detail: "the Upgrade header is not supported",
	Hint:   "Send the request without it. Only h2c is allowed, and ignored.",
})

var errLoop = &problem.Problem{
	Code:       "loop-detected",
	Status:     http.StatusLoopDetected,
	Title:      "Loop detected",
	ProxyError: "proxy_loop_detected",
	Detail:     "the request has already passed through a broker",
	Hint:       "Check that ETRUSTED_API_URL leads to the API, not to this broker or another one. If a hosts file or a network alias leads the API's name to the broker, set BROKER_UPSTREAM_RESOLVER.",
}

// errInvalidTarget is for a request target that cannot be forwarded.
var errInvalidTarget = &problem.Problem{
	Code:       "invalid-target",
	Status:     http.StatusBadRequest,
	Title:      "The request target is invalid",
	ProxyError: "http_request_error",
	Detail:     "the request target cannot be forwarded unchanged",
	Hint:       "Send a path that begins with one slash, percent-encoded as RFC 3986 requires, or an http or https URL without a user name.",
}

var errUnsafePath = newDenial(ReasonPath, problem.Problem{
	Code:   "unsafe-path",
	Status: http.StatusBadRequest,
	Detail: "the path contains a dot segment, a backslash or a control character",
	Hint:   "Send the path without . and .. segments, \\ and control characters, whether percent-encoded or not. These characters are allowed in the query.",
})

var errAccessKeyMissing = newDenial(ReasonKey, problem.Problem{
	Code:   "access-key-missing",
	Status: http.StatusUnauthorized,
	Detail: "the broker's access key is missing or wrong",
	Hint:   "Send it as \"Authorization: Bearer KEY\", or as the password of Basic authentication with any user name. It is the value of BROKER_ACCESS_KEY, the content of BROKER_ACCESS_KEY_FILE, or in the file key of a caller in BROKER_CALLERS_DIR.",
	Fields: authenticateFields,
})

// errUnknownClient closes the connection: a client can have another certificate only on another connection.
var errUnknownClient = newDenial(ReasonKey, problem.Problem{
	Code:   "client-unknown",
	Status: http.StatusUnauthorized,
	Detail: "the access key is missing or wrong, and the client's certificate or user is not that of a caller",
	Hint:   "Send the key of a caller in BROKER_CALLERS_DIR, or list the client's certificate or user in the file certificate or uid of one.",
	Fields: authenticateFields,
	Close:  true,
})

var errRepeatedCredentials = newDenial(ReasonKey, problem.Problem{
	Code:   "repeated-credentials",
	Status: http.StatusUnauthorized,
	Detail: "the request has several Authorization or Proxy-Authorization fields",
	Hint:   "Send each of them at most once (RFC 9110).",
	Fields: authenticateFields,
	Close:  true,
})

var errSeveralCallers = newDenial(ReasonKey, problem.Problem{
	Code:   "several-callers",
	Status: http.StatusUnauthorized,
	Detail: "the request has the credentials of two callers",
	Hint:   "Send only one access key. On a connection whose certificate or user is that of a caller, send none or that caller's.",
	Fields: authenticateFields,
	Close:  true,
})

var errCallerExpired = newDenial(ReasonKey, problem.Problem{
	Code:   "caller-expired",
	Status: http.StatusUnauthorized,
	Detail: "the caller's access has expired",
	Hint:   "Write a later date into the caller's file expires in BROKER_CALLERS_DIR, or remove that file.",
	Fields: authenticateFields,
})

var errAccountNotAllowed = newDenial(ReasonAccount, problem.Problem{
	Code:   "account-not-allowed",
	Status: http.StatusForbidden,
	Detail: "the caller may not use the account",
	Hint:   "Add the account to the caller's file accounts in BROKER_CALLERS_DIR, or use one of those in it.",
})

var authenticateFields = []problem.Field{
	{Name: "WWW-Authenticate", Value: `Bearer realm="etrusted-broker"`},
	{Name: "WWW-Authenticate", Value: basicAuthenticate},
}

const basicAuthenticate = `Basic realm="etrusted-broker", charset="UTF-8"`

var errTunnelNotAllowed = newDenial(ReasonTarget, problem.Problem{
	Code:   "tunnel-not-allowed",
	Status: http.StatusForbidden,
	Detail: "tunnels are allowed only to the API and its login server, with BROKER_INTERCEPT_CA_DIR, and to the hosts in BROKER_PASS_HOSTS",
	Hint:   "Set the variable, or list the host in the app's NO_PROXY.",
})

var errProxyKeyMissing = newDenial(ReasonKey, problem.Problem{
	Code:   "proxy-key-missing",
	Status: http.StatusProxyAuthRequired,
	Detail: "the request to the broker as a proxy has no access key, or a wrong one",
	Hint:   "Put the key into the proxy's URL as the password: HTTPS_PROXY=http://app:KEY@localhost:8080.",
	Fields: []problem.Field{{Name: "Proxy-Authenticate", Value: basicAuthenticate}},
})

// errTunnelAccessKeyExpired closes the connection: the client must open another tunnel, with the key that is valid now.
var errTunnelAccessKeyExpired = newDenial(ReasonKey, problem.Problem{
	Code:   "tunnel-key-expired",
	Status: http.StatusUnauthorized,
	Detail: "the access key that opened this tunnel is no longer valid",
	Hint:   "Open a new tunnel, with the new key in the proxy's URL.",
	Fields: authenticateFields,
	Close:  true,
})

var errLoginServerRequest = newDenial(ReasonTarget, problem.Problem{
	Code:   "login-server-request",
	Status: http.StatusNotFound,
	Detail: "the request is for the login server",
	Hint:   "In its place, the broker answers only token requests: POST, with BROKER_TOKEN_ENDPOINT=true.",
})

var errMethodOverride = newDenial(ReasonRule, problem.Problem{
	Code:   "method-override",
	Status: http.StatusForbidden,
	Detail: "a header asks for a different method or path than the request line",
	Hint:   "An allow list is set, so send the method and path in the request line, without X-HTTP-Method-Override, X-Original-URL and similar headers.",
})
