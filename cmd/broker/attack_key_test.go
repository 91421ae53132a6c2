package main

import (
	"encoding/base64"

	"etrusted-broker/internal/brokertest"
)

// basic is the value of an Authorization header.
func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

const withKey = "Authorization: Bearer " + attackedKey

// keyAttacks are on a broker that wants to be shown attackedKey, which never goes upstream.
var keyAttacks = []attack{
	{"right", brokertest.PlainRequest("GET /x", withKey), served("GET /x")},
	{"right in odd case", brokertest.PlainRequest("GET /x", "aUTHORIZATION: bEARER  "+attackedKey), served("GET /x")},
	{"right as a password", brokertest.PlainRequest("GET /x", "Authorization: "+basic("shop", attackedKey)), served("GET /x")},
	{"right, and named in Connection", brokertest.PlainRequest("GET /x", "Connection: Authorization", withKey), served("GET /x")},
	{"right, and elsewhere too", brokertest.PlainRequest("GET /x", withKey, "Proxy-Authorization: Bearer "+attackedKey), served("GET /x")},
	{"right, and in a trailer too", "POST /x HTTP/1.1\r\nHost: localhost\r\n" + withKey + "\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\n" + withKey + "\r\n\r\n", served("POST /x")},

	{"missing", brokertest.PlainRequest("GET /x"), refused(401, "key")},
	{"empty", brokertest.PlainRequest("GET /x", "Authorization:"), refused(401, "key")},
	{"scheme alone", brokertest.PlainRequest("GET /x", "Authorization: Bearer"), refused(401, "key")},
	{"empty token", brokertest.PlainRequest("GET /x", "Authorization: Bearer "), refused(401, "key")},
	{"wrong", brokertest.PlainRequest("GET /x", "Authorization: Bearer wrong"), refused(401, "key")},
	{"cut short", brokertest.PlainRequest("GET /x", withKey[:len(withKey)-1]), refused(401, "key")},
	{"drawn out", brokertest.PlainRequest("GET /x", withKey+"0"), refused(401, "key")},
	{"in capitals", brokertest.PlainRequest("GET /x", "Authorization: Bearer CANARY-ACCESS-KEY-0123456789"), refused(401, "key")},
	{"without a scheme", brokertest.PlainRequest("GET /x", "Authorization: "+attackedKey), refused(401, "key")},
	{"another scheme", brokertest.PlainRequest("GET /x", "Authorization: Digest "+attackedKey), refused(401, "key")},
	{"as a user", brokertest.PlainRequest("GET /x", "Authorization: "+basic(attackedKey, "")), refused(401, "key")},
	{"empty password", brokertest.PlainRequest("GET /x", "Authorization: "+basic("shop", "")), refused(401, "key")},
	{"broken base64", brokertest.PlainRequest("GET /x", "Authorization: Basic !!!"), refused(401, "key")},
	{"twice the right one", brokertest.PlainRequest("GET /x", withKey, withKey), refused(401, "key")},
	{"right, then wrong", brokertest.PlainRequest("GET /x", withKey, "Authorization: Bearer wrong"), refused(401, "key")},
	{"wrong, then right", brokertest.PlainRequest("GET /x", "Authorization: Bearer wrong", withKey), refused(401, "key")},
	{"as a list", brokertest.PlainRequest("GET /x", "Authorization: Bearer wrong, Bearer "+attackedKey), refused(401, "key")},
	{"in Proxy-Authorization", brokertest.PlainRequest("GET /x", "Proxy-Authorization: Bearer "+attackedKey), refused(401, "key")},
	{"in the query", brokertest.PlainRequest("GET /x?access_token=" + attackedKey), refused(401, "key")},
	{"in a cookie", brokertest.PlainRequest("GET /x", "Cookie: Authorization="+attackedKey), refused(401, "key")},
	{"in the target", brokertest.PlainRequest("GET http://shop:" + attackedKey + "@localhost/x"), outcome{status: 400, open: true}},
	{"in a trailer", "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\n" + withKey + "\r\n\r\n", refused(401, "key")},
	{"in another header", brokertest.PlainRequest("GET /x", "X-Authorization: Bearer "+attackedKey), refused(401, "key")},
	{"with an underscore", brokertest.PlainRequest("GET /x", "Authorization_: Bearer "+attackedKey), refused(401, "key")},
	{"in the second of two requests", brokertest.PlainRequest("GET /x") + brokertest.PlainRequest("GET /y", withKey), outcome{status: 401, hits: []string{"GET /y"}, open: true, reason: "key"}},
	{"in the first of two requests", brokertest.PlainRequest("GET /x", withKey) + brokertest.PlainRequest("GET /y"), outcome{status: 200, hits: []string{"GET /x"}, open: true, reason: "key"}},
	{"a page with the right one", brokertest.PlainRequest("GET /x", withKey, "Origin: x"), refused(403, "browser")},
	{"a foreign Host with the right one", to("evil.example", withKey), refused(421, "host")},
}
