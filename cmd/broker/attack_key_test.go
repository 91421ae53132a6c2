package main

import (
	"encoding/base64"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// basicAuth returns the value of a Basic Authorization header.
func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

const keyHeader = "Authorization: Bearer " + canaryKey

// The key must not reach the API.
func TestAccessKeyWithstandsAttacks(t *testing.T) {
	t.Parallel()
	repeated := outcome{status: 401, reason: "key"} // and the connection is closed
	startAttackTarget(t, "BROKER_ACCESS_KEY="+canaryKey).runAll(t, []attack{
		{"right", brokertest.PlainRequest("GET /x", keyHeader), forwarded("GET /x")},
		{"right in odd case", brokertest.PlainRequest("GET /x", "aUTHORIZATION: bEARER  "+canaryKey), forwarded("GET /x")},
		{"right as a password", brokertest.PlainRequest("GET /x", "Authorization: "+basicAuth("shop", canaryKey)), forwarded("GET /x")},
		{"right, and named in Connection", brokertest.PlainRequest("GET /x", "Connection: Authorization", keyHeader), forwarded("GET /x")},
		{"right, and elsewhere too", brokertest.PlainRequest("GET /x", keyHeader, "Proxy-Authorization: Bearer "+canaryKey), forwarded("GET /x")},
		{"right, and in a trailer too", "POST /x HTTP/1.1\r\nHost: localhost\r\n" + keyHeader + "\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\n" + keyHeader + "\r\n\r\n", forwarded("POST /x")},

		{"missing", brokertest.PlainRequest("GET /x"), denied(401, "key")},
		{"empty", brokertest.PlainRequest("GET /x", "Authorization:"), denied(401, "key")},
		{"only a scheme", brokertest.PlainRequest("GET /x", "Authorization: Bearer"), denied(401, "key")},
		{"empty token", brokertest.PlainRequest("GET /x", "Authorization: Bearer "), denied(401, "key")},
		{"wrong", brokertest.PlainRequest("GET /x", "Authorization: Bearer wrong"), denied(401, "key")},
		{"one character too short", brokertest.PlainRequest("GET /x", keyHeader[:len(keyHeader)-1]), denied(401, "key")},
		{"one character too long", brokertest.PlainRequest("GET /x", keyHeader+"0"), denied(401, "key")},
		{"in capitals", brokertest.PlainRequest("GET /x", "Authorization: Bearer CANARY-ACCESS-KEY-0123456789"), denied(401, "key")},
		{"without a scheme", brokertest.PlainRequest("GET /x", "Authorization: "+canaryKey), denied(401, "key")},
		{"another scheme", brokertest.PlainRequest("GET /x", "Authorization: Digest "+canaryKey), denied(401, "key")},
		{"as a user", brokertest.PlainRequest("GET /x", "Authorization: "+basicAuth(canaryKey, "")), denied(401, "key")},
		{"empty password", brokertest.PlainRequest("GET /x", "Authorization: "+basicAuth("shop", "")), denied(401, "key")},
		{"broken base64", brokertest.PlainRequest("GET /x", "Authorization: Basic !!!"), denied(401, "key")},
		{"twice the right one", brokertest.PlainRequest("GET /x", keyHeader, keyHeader), repeated},
		{"right, then wrong", brokertest.PlainRequest("GET /x", keyHeader, "Authorization: Bearer wrong"), repeated},
		{"wrong, then right", brokertest.PlainRequest("GET /x", "Authorization: Bearer wrong", keyHeader), repeated},
		{"as a list", brokertest.PlainRequest("GET /x", "Authorization: Bearer wrong, Bearer "+canaryKey), denied(401, "key")},
		{"in Proxy-Authorization", brokertest.PlainRequest("GET /x", "Proxy-Authorization: Bearer "+canaryKey), denied(401, "key")},
		{"in the query", brokertest.PlainRequest("GET /x?access_token=" + canaryKey), denied(401, "key")},
		{"in a cookie", brokertest.PlainRequest("GET /x", "Cookie: Authorization="+canaryKey), denied(401, "key")},
		{"in the target", brokertest.PlainRequest("GET http://shop:" + canaryKey + "@localhost/x"), outcome{status: 400, reusable: true}},
		{"in a trailer", "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\n" + keyHeader + "\r\n\r\n", denied(401, "key")},
		{"in another header", brokertest.PlainRequest("GET /x", "X-Authorization: Bearer "+canaryKey), denied(401, "key")},
		{"with an underscore", brokertest.PlainRequest("GET /x", "Authorization_: Bearer "+canaryKey), denied(401, "key")},
		{"in the second of two requests", brokertest.PlainRequest("GET /x") + brokertest.PlainRequest("GET /y", keyHeader), outcome{status: 401, upstream: []string{"GET /y"}, reusable: true, reason: "key"}},
		{"in the first of two requests", brokertest.PlainRequest("GET /x", keyHeader) + brokertest.PlainRequest("GET /y"), outcome{status: 200, upstream: []string{"GET /x"}, reusable: true, reason: "key"}},
		{"a page with the right one", brokertest.PlainRequest("GET /x", keyHeader, "Origin: x"), denied(403, "browser")},
		{"a foreign Host with the right one", getWithHost("evil.example", keyHeader), denied(421, "host")},
	})
}
