package access

import (
	"net/http"

	"etrusted-broker/internal/problem"
)

// DenialReason is why a request was denied: a closed set, used as the label of a metric.
type DenialReason string

// The reasons for a denial.
const (
	ReasonHost              DenialReason = "host"        // the host is not allowed: DNS rebinding, or a name missing from the configuration
	ReasonBrowser           DenialReason = "browser"     // a web page sent it
	ReasonUnsupportedMethod DenialReason = "method"      // CONNECT, TRACE
	ReasonUpgrade           DenialReason = "upgrade"     // it asks for another protocol
	ReasonTarget            DenialReason = "target"      // it is for another server
	ReasonPath              DenialReason = "path"        // dot segments, backslashes, control characters
	ReasonKey               DenialReason = "key"         // the caller is unknown: the access key is missing or wrong
	ReasonAccount           DenialReason = "account"     // the caller may not use the account
	ReasonCertificate       DenialReason = "certificate" // the client certificate has expired, or its CA was removed
	ReasonNotInAllowList    DenialReason = "rule"        // the allow list does not include this method and path
	ReasonMalformed         DenialReason = "malformed"   // it violates RFC 9112: see package http1
	ReasonEvicted           DenialReason = "connections" // a connection was closed to make room for another: see package http1
	ReasonHandshake         DenialReason = "handshake"   // a TLS handshake failed
)

// Reasons lists all reasons.
var Reasons = [...]DenialReason{
	ReasonHost, ReasonBrowser, ReasonUnsupportedMethod, ReasonUpgrade, ReasonTarget, ReasonPath,
	ReasonKey, ReasonAccount, ReasonCertificate, ReasonNotInAllowList, ReasonMalformed, ReasonEvicted, ReasonHandshake,
}

// newDenial returns a problem with what all denials have in common.
func newDenial(reason DenialReason, status int, code, detail, hint string, fields ...problem.HeaderField) *problem.Problem {
	return &problem.Problem{
		Code: code, Status: status, Title: "The broker refused the request", Detail: detail, Hint: hint,
		ProxyError: "http_request_denied", DenialReason: string(reason), Fields: fields,
	}
}

const basicChallenge = `Basic realm="etrusted-broker", charset="UTF-8"`

// newUnauthorized returns the denial of a request without valid credentials (RFC 9110 section 15.5.2).
func newUnauthorized(code, detail, hint string) *problem.Problem {
	return newDenial(ReasonKey, http.StatusUnauthorized, code, detail, hint,
		problem.HeaderField{Name: "WWW-Authenticate", Value: `Bearer realm="etrusted-broker"`},
		problem.HeaderField{Name: "WWW-Authenticate", Value: basicChallenge})
}

// setClose makes a denial close the connection, and returns it.
func setClose(denial *problem.Problem) *problem.Problem {
	denial.Close = true
	return denial
}

var errClientCertificateNoLongerTrusted = setClose(newDenial(ReasonCertificate, http.StatusForbidden, "client-certificate-untrusted",
	"the client certificate of this connection has expired, or its CA is no longer trusted",
	"Open a new connection with a valid certificate from a CA in BROKER_TLS_CLIENT_CA_FILE."))

var errMethodNotAllowed = newDenial(ReasonUnsupportedMethod, http.StatusMethodNotAllowed, "method-not-allowed",
	"CONNECT and TRACE are not supported",
	"Use the broker as the API's base URL. CONNECT needs BROKER_INTERCEPT_CA_DIR or BROKER_PASS_HOSTS, and TRACE would send the token back to its sender.",
	problem.HeaderField{Name: "Allow", Value: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})

var errOtherHostNotAllowed = newDenial(ReasonTarget, http.StatusForbidden, "target-not-allowed",
	"the request is for a host other than the API",
	"Send the broker requests for the API's host, or only a path; list other hosts in the app's NO_PROXY, or in BROKER_PASS_HOSTS to let their requests pass through.")

var errHostNotAllowed = newDenial(ReasonHost, http.StatusMisdirectedRequest, "host-not-allowed",
	"the Host header is not an allowed host name",
	"Call the broker as http://localhost:8080, or add the name to BROKER_ALLOWED_HOSTS.")

var errBrowserRequest = newDenial(ReasonBrowser, http.StatusForbidden, "browser-request",
	"the request comes from a web page in a browser",
	"Only programs may use the broker: call it from your server, without an Origin header.")

var errUpgradeNotSupported = newDenial(ReasonUpgrade, http.StatusForbidden, "upgrade-not-supported",
	"the Upgrade header is not supported",
	"Send the request without it. Only h2c is allowed, and ignored.")

var errLoop = &problem.Problem{
	Code:       "loop-detected",
	Status:     http.StatusLoopDetected,
	Title:      "Loop detected",
	ProxyError: "proxy_loop_detected",
	Detail:     "the request has already passed through a broker",
	Hint:       "Check that ETRUSTED_API_URL leads to the API, not to this broker or another one. If a hosts file or a network alias leads the API's name to the broker, set BROKER_UPSTREAM_RESOLVER.",
}

var errInvalidTarget = &problem.Problem{
	Code:       "invalid-target",
	Status:     http.StatusBadRequest,
	Title:      "The request target is invalid",
	ProxyError: "http_request_error",
	Detail:     "the request target cannot be forwarded unchanged",
	Hint:       "Send a path that begins with one slash, percent-encoded as RFC 3986 requires, or an http or https URL without a user name.",
}

var errUnsafePath = newDenial(ReasonPath, http.StatusBadRequest, "unsafe-path",
	"the path contains a dot segment, a backslash or a control character",
	"Send the path without . and .. segments, \\ and control characters, whether percent-encoded or not. These characters are allowed in the query.")

var errAccessKeyMissingOrWrong = newUnauthorized("access-key-missing",
	"the broker's access key is missing or wrong",
	"Send it as \"Authorization: Bearer KEY\", or as the password of Basic authentication with any user name. It is the value of BROKER_ACCESS_KEY, the content of BROKER_ACCESS_KEY_FILE, or in the file key of a caller in BROKER_CALLERS_DIR.")

var errUnknownIdentityAndKey = setClose(newUnauthorized("client-unknown",
	"the access key is missing or wrong, and the client's certificate or user is not that of a caller",
	"Send the key of a caller in BROKER_CALLERS_DIR, or list the client's certificate or user in the file certificate or uid of one."))

var errRepeatedCredentials = setClose(newUnauthorized("repeated-credentials",
	"the request has several Authorization or Proxy-Authorization fields",
	"Send each of them at most once (RFC 9110)."))

var errSeveralCallers = setClose(newUnauthorized("several-callers",
	"the request has the credentials of two callers",
	"Send only one access key. On a connection whose certificate or user is that of a caller, send none or that caller's."))

var errCallerExpired = newUnauthorized("caller-expired",
	"the caller's access has expired",
	"Write a later date into the caller's file expires in BROKER_CALLERS_DIR, or remove that file.")

var errAccountNotAllowed = newDenial(ReasonAccount, http.StatusForbidden, "account-not-allowed",
	"the caller may not use the account",
	"Add the account to the caller's file accounts in BROKER_CALLERS_DIR, or use one of those in it.")

var errTunnelNotAllowed = newDenial(ReasonTarget, http.StatusForbidden, "tunnel-not-allowed",
	"tunnels are allowed only to the API and its login server, with BROKER_INTERCEPT_CA_DIR, and to the hosts in BROKER_PASS_HOSTS",
	"Set the variable, or list the host in the app's NO_PROXY.")

var errProxyKeyMissing = newDenial(ReasonKey, http.StatusProxyAuthRequired, "proxy-key-missing",
	"the request to the broker as a proxy has no access key, or a wrong one",
	"Put the key into the proxy's URL as the password: HTTPS_PROXY=http://app:KEY@localhost:8080.",
	problem.HeaderField{Name: "Proxy-Authenticate", Value: basicChallenge})

var errTunnelAccessKeyExpired = setClose(newUnauthorized("tunnel-key-expired",
	"the access key that opened this tunnel is no longer valid",
	"Open a new tunnel, with the new key in the proxy's URL."))

var errLoginServerRequest = newDenial(ReasonTarget, http.StatusNotFound, "login-server-request",
	"the request is for the login server",
	"In its place, the broker answers only token requests: POST, with BROKER_TOKEN_ENDPOINT=true.")

var errMethodOrPathOverride = newDenial(ReasonNotInAllowList, http.StatusForbidden, "method-override",
	"a header asks for a different method or path than the request line",
	"An allow list is set, so send the method and path in the request line, without X-HTTP-Method-Override, X-Original-URL and similar headers.")
