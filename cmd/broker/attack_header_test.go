package main

import (
	"strings"

	"etrusted-broker/internal/brokertest"
)

// trailing is a chunked POST that announces trailers, and has some.
func trailing(announced string, trailers ...string) string {
	return "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: " + announced + "\r\n\r\n1\r\na\r\n0\r\n" + brokertest.HeaderLines(trailers...) + "\r\n"
}

const canary = "Authorization: Bearer CANARY"

// headerAttacks are about what goes upstream: whatever they bring, tape sees to it that it is the one token, the API's Host,
// no second framing, no Via without the broker's, and nothing that tells who asked.
var headerAttacks = []attack{
	{"Authorization", brokertest.PlainRequest("GET /x", canary), served("GET /x")},
	{"Authorization in odd case", brokertest.PlainRequest("GET /x", "aUtHoRiZaTiOn: CANARY", "AUTHORIZATION: CANARY", "authorization: CANARY"), served("GET /x")},
	{"Authorization a hundred times", brokertest.PlainRequest("GET /x", strings.TrimSuffix(strings.Repeat(canary+"\r\n", 100), "\r\n")), served("GET /x")},
	{"Authorization empty", brokertest.PlainRequest("GET /x", "Authorization:"), served("GET /x")},
	{"Authorization of an account", brokertest.PlainRequest("GET /@shop/x", canary), served("GET /x")},
	{"Authorization in the target", brokertest.PlainRequest("GET http://CANARY:CANARY@localhost/x"), outcome{status: 400, open: true}},
	{"Proxy-Authorization", brokertest.PlainRequest("GET /x", "Proxy-Authorization: Basic CANARY"), served("GET /x")},
	{"Proxy-Authorization in odd case", brokertest.PlainRequest("GET /x", "pROXY-aUTHORIZATION: CANARY", "Proxy-Authenticate: CANARY"), served("GET /x")},
	{"Connection: Authorization", brokertest.PlainRequest("GET /x", "Connection: Authorization", canary), served("GET /x")},
	{"Connection: authorization in odd case", brokertest.PlainRequest("GET /x", "connection: keep-alive,aUTHORIZATION"), served("GET /x")},
	{"Connection: Authorization behind a tab", brokertest.PlainRequest("GET /x", "Connection: close-not,\tAuthorization\t,"), served("GET /x")},
	{"Connection in two lines", brokertest.PlainRequest("GET /x", "Connection: X", "Connection: Authorization", "X: CANARY"), served("GET /x")},
	{"Connection: Via, Host and all", brokertest.PlainRequest("GET /x", "Connection: Via, Host, Content-Length, Transfer-Encoding, User-Agent, close"), served("GET /x").closing()},
	{"Connection: Host", brokertest.PlainRequest("GET /x", "Connection: Host"), served("GET /x")},
	{"Connection: Content-Length", "POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: Content-Length\r\nContent-Length: 1\r\n\r\na", served("POST /x")},
	{"Connection: Transfer-Encoding", "POST /x HTTP/1.1\r\nHost: localhost\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", served("POST /x")},
	{"Connection: Via hides no loop", brokertest.PlainRequest("GET /x", "Connection: Via", "Via: 1.1 etrusted-broker"), outcome{status: 508, open: true}},
	{"loop", brokertest.PlainRequest("GET /x", "Via: 1.0 a, HTTP/1.1 ETRUSTED-BROKER (x)"), outcome{status: 508, open: true}},
	{"Via of others", brokertest.PlainRequest("GET /x", "Via: 1.1 a", "Via: 1.1 b"), served("GET /x")},
	{"Proxy-Connection", brokertest.PlainRequest("GET /x", "Proxy-Connection: Authorization, X", "X: a"), served("GET /x")},
	{"Keep-Alive", brokertest.PlainRequest("GET /x", "Keep-Alive: timeout=5"), served("GET /x")},
	{"Forwarded", brokertest.PlainRequest("GET /x", "Forwarded: for=CANARY;host=evil.example", "X-Forwarded-For: CANARY", "X-Forwarded-Host: CANARY", "X-Forwarded-Proto: CANARY", "x-fORWARDED-pREFIX: CANARY"), served("GET /x")},
	{"Forwarded by other names", brokertest.PlainRequest("GET /x", "X-Real-IP: CANARY", "Client-IP: CANARY", "True-Client-IP: CANARY", "x_real_ip: CANARY", "TRUE_CLIENT_IP: CANARY", "X-Client-IP: CANARY", "CF-Connecting-IP: CANARY"), served("GET /x")},
	{"Te", brokertest.PlainRequest("GET /x", "TE: CANARY, trailers;q=0.5"), served("GET /x")},
	{"Trailer without a body", brokertest.PlainRequest("GET /x", "Trailer: CANARY"), served("GET /x")},
	{"Transfer-Encoding of nothing", "GET /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", served("GET /x")},
	{"Upgrade of Java", brokertest.PlainRequest("GET /x", "Upgrade: h2c", "HTTP2-Settings: CANARY", "Connection: HTTP2-Settings", "User-Agent: Java-http-client/17"), served("GET /x")},
	{"overrides, where nothing is forbidden", brokertest.PlainRequest("GET /x", "X-HTTP-Method-Override: GET", "X-Original-URL: /x"), served("GET /x")},
	{"Expect", "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na", served("POST /x")},
	{"Expect twice", "POST /x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na", served("POST /x")},
	{"Expect without a body", brokertest.PlainRequest("GET /x", "Expect: 100-continue"), served("GET /x")},

	{"trailer", trailing("X", "X: a"), served("POST /x")},
	{"trailer Authorization", trailing("Authorization", canary), served("POST /x")},
	{"trailer Authorization in odd case", trailing("aUTHORIZATION, X", "AUTHORIZATION: CANARY", "X: a"), served("POST /x")},
	{"trailer Authorization unannounced", trailing("X", canary), served("POST /x")},
	{"trailer Host", trailing("Host", "Host: CANARY"), served("POST /x")},
	{"trailer Via", trailing("Via", "Via: CANARY"), served("POST /x")},
	{"trailer Connection", trailing("Connection, X", "Connection: Authorization", "X: a"), served("POST /x")},
	{"trailer X-Forwarded-For", trailing("X-Forwarded-For", "X-Forwarded-For: CANARY"), served("POST /x")},
	{"trailer Proxy-Authorization", trailing("Proxy-Authorization", "Proxy-Authorization: CANARY"), served("POST /x")},
	{"trailer that asks for another method", trailing("X-HTTP-Method-Override, X-HTTP-Method, X_Method_Override, X-Original-Method", "X-HTTP-Method-Override: CANARY", "X-HTTP-Method: CANARY", "X_Method_Override: CANARY", "X-Original-Method: CANARY"), served("POST /x")},
	{"trailer that asks for another path", trailing("X-Original-URL, X-Rewrite-URL, X-Override-URL, X-HTTP-Path-Override", "X-Original-URL: CANARY", "X-Rewrite-URL: CANARY", "X-Override-URL: CANARY", "X-HTTP-Path-Override: CANARY"), served("POST /x")},
	{"trailer X_Forwarded_For", trailing("X_Forwarded_For, X-Real-IP, X_Real_IP, Client-IP, True-Client-IP", "X_Forwarded_For: CANARY", "X-Real-IP: CANARY", "X_Real_IP: CANARY", "Client-IP: CANARY", "True-Client-IP: CANARY"), served("POST /x")},
	{"trailer Proxy_Authorization", trailing("Proxy_Authorization, Authorization_, Transfer_Encoding, Content_Length", "Proxy_Authorization: CANARY", "Transfer_Encoding: CANARY", "Content_Length: CANARY"), served("POST /x")},
	{"trailer Cookie", trailing("Cookie, Set-Cookie, Status, Expect, Content-Type", "Cookie: CANARY", "Set-Cookie: CANARY", "Status: CANARY", "Expect: CANARY", "Content-Type: CANARY"), served("POST /x")},
	{"trailer named in Connection", strings.Replace(trailing("X-Mine", "X-Mine: CANARY"), "Trailer:", "Connection: x-mine\r\nTrailer:", 1), served("POST /x")},
	{"trailer Content-Length unannounced", trailing("X", "Content-Length: 7", "Transfer-Encoding: CANARY"), served("POST /x")},
	{"trailer Content-Length", trailing("Content-Length", "Content-Length: 7"), unsaid(400)},
	{"trailer Transfer-Encoding", trailing("Transfer-Encoding", "Transfer-Encoding: chunked"), unsaid(400)},
	{"trailer with a name that is none", trailing("X Y, a\"b", "X: a"), served("POST /x")},
}
