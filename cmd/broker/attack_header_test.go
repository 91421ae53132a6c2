package main

import (
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// postWithTrailers returns a chunked POST that announces some trailers and sends others.
func postWithTrailers(announced string, trailers ...string) string {
	return "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: " + announced + "\r\n\r\n1\r\na\r\n0\r\n" + brokertest.HeaderLines(trailers...) + "\r\n"
}

const canaryAuthorization = "Authorization: Bearer CANARY"

// For each request, recordingAPI checks that it has exactly the broker's token, the API's Host, one framing and the broker's Via, and
// does not identify the client.
func TestForwardsNoForbiddenHeader(t *testing.T) {
	t.Parallel()
	startAttackTarget(t).runAll(t, []attack{
		{"Authorization", brokertest.PlainRequest("GET /x", canaryAuthorization), forwarded("GET /x")},
		{"Authorization in odd case", brokertest.PlainRequest("GET /x", "aUtHoRiZaTiOn: CANARY", "AUTHORIZATION: CANARY", "authorization: CANARY"), forwarded("GET /x")},
		{"Authorization a hundred times", brokertest.PlainRequest("GET /x", strings.TrimSuffix(strings.Repeat(canaryAuthorization+"\r\n", 100), "\r\n")), forwarded("GET /x")},
		{"Authorization empty", brokertest.PlainRequest("GET /x", "Authorization:"), forwarded("GET /x")},
		{"Authorization of an account", brokertest.PlainRequest("GET /@shop/x", canaryAuthorization), forwarded("GET /x")},
		{"Authorization in the target", brokertest.PlainRequest("GET http://CANARY:CANARY@localhost/x"), outcome{status: 400, reusable: true}},
		{"Proxy-Authorization", brokertest.PlainRequest("GET /x", "Proxy-Authorization: Basic CANARY"), forwarded("GET /x")},
		{"Proxy-Authorization in odd case", brokertest.PlainRequest("GET /x", "pROXY-aUTHORIZATION: CANARY", "Proxy-Authenticate: CANARY"), forwarded("GET /x")},
		{"Connection: Authorization", brokertest.PlainRequest("GET /x", "Connection: Authorization", canaryAuthorization), forwarded("GET /x")},
		{"Connection: authorization in odd case", brokertest.PlainRequest("GET /x", "connection: keep-alive,aUTHORIZATION"), forwarded("GET /x")},
		{"Connection: Authorization behind a tab", brokertest.PlainRequest("GET /x", "Connection: close-not,\tAuthorization\t,"), forwarded("GET /x")},
		{"Connection in two lines", brokertest.PlainRequest("GET /x", "Connection: X", "Connection: Authorization", "X: CANARY"), forwarded("GET /x")},
		{"Connection: Via, Host and all", brokertest.PlainRequest("GET /x", "Connection: Via, Host, Content-Length, Transfer-Encoding, User-Agent, close"), forwarded("GET /x").thenCloses()},
		{"Connection: Host", brokertest.PlainRequest("GET /x", "Connection: Host"), forwarded("GET /x")},
		{"Connection: Content-Length", "POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: Content-Length\r\nContent-Length: 1\r\n\r\na", forwarded("POST /x")},
		{"Connection: Transfer-Encoding", "POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", forwarded("POST /x")},
		{"Connection: Via hides no loop", brokertest.PlainRequest("GET /x", "Connection: Via", "Via: 1.1 etrusted-broker"), outcome{status: 508, reusable: true}},
		{"loop", brokertest.PlainRequest("GET /x", "Via: 1.0 a, HTTP/1.1 ETRUSTED-BROKER (x)"), outcome{status: 508, reusable: true}},
		{"Via of others", brokertest.PlainRequest("GET /x", "Via: 1.1 a", "Via: 1.1 b"), forwarded("GET /x")},
		{"Proxy-Connection", brokertest.PlainRequest("GET /x", "Proxy-Connection: Authorization, X", "X: a"), forwarded("GET /x")},
		{"Keep-Alive", brokertest.PlainRequest("GET /x", "Keep-Alive: timeout=5"), forwarded("GET /x")},
		{"Forwarded", brokertest.PlainRequest("GET /x", "Forwarded: for=CANARY;host=evil.example", "X-Forwarded-For: CANARY", "X-Forwarded-Host: CANARY", "X-Forwarded-Proto: CANARY", "x-fORWARDED-pREFIX: CANARY"), forwarded("GET /x")},
		{"Forwarded by other names", brokertest.PlainRequest("GET /x", "X-Real-IP: CANARY", "Client-IP: CANARY", "True-Client-IP: CANARY", "x_real_ip: CANARY", "TRUE_CLIENT_IP: CANARY", "X-Client-IP: CANARY", "CF-Connecting-IP: CANARY"), forwarded("GET /x")},
		{"Te", brokertest.PlainRequest("GET /x", "TE: CANARY, trailers;q=0.5"), forwarded("GET /x")},
		{"Trailer without a body", brokertest.PlainRequest("GET /x", "Trailer: CANARY"), forwarded("GET /x")},
		{"Transfer-Encoding without a body", "GET /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", forwarded("GET /x")},
		{"Upgrade of Java", brokertest.PlainRequest("GET /x", "Upgrade: h2c", "HTTP2-Settings: CANARY", "Connection: HTTP2-Settings", "User-Agent: Java-http-client/17"), forwarded("GET /x")},
		{"overrides, without allow rules", brokertest.PlainRequest("GET /x", "X-HTTP-Method-Override: GET", "X-Original-URL: /x"), forwarded("GET /x")},
		{"Expect", "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na", forwarded("POST /x")},
		{"Expect twice", "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na", forwarded("POST /x")},
		{"Expect without a body", brokertest.PlainRequest("GET /x", "Expect: 100-continue"), forwarded("GET /x")},

		{"trailer", postWithTrailers("X", "X: a"), forwarded("POST /x")},
		{"trailer Authorization", postWithTrailers("Authorization", canaryAuthorization), forwarded("POST /x")},
		{"trailer Authorization in odd case", postWithTrailers("aUTHORIZATION, X", "AUTHORIZATION: CANARY", "X: a"), forwarded("POST /x")},
		{"trailer Authorization unannounced", postWithTrailers("X", canaryAuthorization), forwarded("POST /x")},
		{"trailer Host", postWithTrailers("Host", "Host: CANARY"), forwarded("POST /x")},
		{"trailer Via", postWithTrailers("Via", "Via: CANARY"), forwarded("POST /x")},
		{"trailer Connection", postWithTrailers("Connection, X", "Connection: Authorization", "X: a"), forwarded("POST /x")},
		{"trailer X-Forwarded-For", postWithTrailers("X-Forwarded-For", "X-Forwarded-For: CANARY"), forwarded("POST /x")},
		{"trailer Proxy-Authorization", postWithTrailers("Proxy-Authorization", "Proxy-Authorization: CANARY"), forwarded("POST /x")},
		{"trailer that asks for another method", postWithTrailers("X-HTTP-Method-Override, X-HTTP-Method, X_Method_Override, X-Original-Method", "X-HTTP-Method-Override: CANARY", "X-HTTP-Method: CANARY", "X_Method_Override: CANARY", "X-Original-Method: CANARY"), forwarded("POST /x")},
		{"trailer that asks for another path", postWithTrailers("X-Original-URL, X-Rewrite-URL, X-Override-URL, X-HTTP-Path-Override", "X-Original-URL: CANARY", "X-Rewrite-URL: CANARY", "X-Override-URL: CANARY", "X-HTTP-Path-Override: CANARY"), forwarded("POST /x")},
		{"trailer X_Forwarded_For", postWithTrailers("X_Forwarded_For, X-Real-IP, X_Real_IP, Client-IP, True-Client-IP", "X_Forwarded_For: CANARY", "X-Real-IP: CANARY", "X_Real_IP: CANARY", "Client-IP: CANARY", "True-Client-IP: CANARY"), forwarded("POST /x")},
		{"trailer Proxy_Authorization", postWithTrailers("Proxy_Authorization, Authorization_, Transfer_Encoding, Content_Length", "Proxy_Authorization: CANARY", "Transfer_Encoding: CANARY", "Content_Length: CANARY"), forwarded("POST /x")},
		{"trailer Cookie", postWithTrailers("Cookie, Set-Cookie, Status, Expect, Content-Type", "Cookie: CANARY", "Set-Cookie: CANARY", "Status: CANARY", "Expect: CANARY", "Content-Type: CANARY"), forwarded("POST /x")},
		{"trailer named in Connection", strings.Replace(postWithTrailers("X-Mine", "X-Mine: CANARY"), "Trailer:", "Connection: x-mine\r\nTrailer:", 1), forwarded("POST /x")},
		{"trailer Content-Length unannounced", postWithTrailers("X", "Content-Length: 7", "Transfer-Encoding: CANARY"), forwarded("POST /x")},
		{"trailer Content-Length", postWithTrailers("Content-Length", "Content-Length: 7"), malformed(400)},
		{"trailer Transfer-Encoding", postWithTrailers("Transfer-Encoding", "Transfer-Encoding: chunked"), malformed(400)},
		{"trailer with an invalid name", postWithTrailers("X Y, a\"b", "X: a"), forwarded("POST /x")},
	})
}
