package main

import "encoding/base64"

// basic is the value of an Authorization header.
func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

const withKey = "Authorization: Bearer " + attackedKey

// keyAttacks are on a broker that wants to be shown attackedKey, which never goes upstream.
var keyAttacks = []attack{
	{"right", plain("GET /x", withKey), served("GET /x")},
	{"right in odd case", plain("GET /x", "aUTHORIZATION: bEARER  "+attackedKey), served("GET /x")},
	{"right as a password", plain("GET /x", "Authorization: "+basic("shop", attackedKey)), served("GET /x")},
	{"right, and named in Connection", plain("GET /x", "Connection: Authorization", withKey), served("GET /x")},
	{"right, and elsewhere too", plain("GET /x", withKey, "Proxy-Authorization: Bearer "+attackedKey), served("GET /x")},
	{"right, and in a trailer too", "POST /x HTTP/1.1\r\nHost: localhost\r\n" + withKey + "\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\n" + withKey + "\r\n\r\n", served("POST /x")},

	{"missing", plain("GET /x"), refused(401, "key")},
	{"empty", plain("GET /x", "Authorization:"), refused(401, "key")},
	{"scheme alone", plain("GET /x", "Authorization: Bearer"), refused(401, "key")},
	{"empty token", plain("GET /x", "Authorization: Bearer "), refused(401, "key")},
	{"wrong", plain("GET /x", "Authorization: Bearer wrong"), refused(401, "key")},
	{"cut short", plain("GET /x", withKey[:len(withKey)-1]), refused(401, "key")},
	{"drawn out", plain("GET /x", withKey+"0"), refused(401, "key")},
	{"in capitals", plain("GET /x", "Authorization: Bearer CANARY-ACCESS-KEY-0123456789"), refused(401, "key")},
	{"without a scheme", plain("GET /x", "Authorization: "+attackedKey), refused(401, "key")},
	{"another scheme", plain("GET /x", "Authorization: Digest "+attackedKey), refused(401, "key")},
	{"as a user", plain("GET /x", "Authorization: "+basic(attackedKey, "")), refused(401, "key")},
	{"empty password", plain("GET /x", "Authorization: "+basic("shop", "")), refused(401, "key")},
	{"broken base64", plain("GET /x", "Authorization: Basic !!!"), refused(401, "key")},
	{"twice the right one", plain("GET /x", withKey, withKey), refused(401, "key")},
	{"right, then wrong", plain("GET /x", withKey, "Authorization: Bearer wrong"), refused(401, "key")},
	{"wrong, then right", plain("GET /x", "Authorization: Bearer wrong", withKey), refused(401, "key")},
	{"as a list", plain("GET /x", "Authorization: Bearer wrong, Bearer "+attackedKey), refused(401, "key")},
	{"in Proxy-Authorization", plain("GET /x", "Proxy-Authorization: Bearer "+attackedKey), refused(401, "key")},
	{"in the query", plain("GET /x?access_token=" + attackedKey), refused(401, "key")},
	{"in a cookie", plain("GET /x", "Cookie: Authorization="+attackedKey), refused(401, "key")},
	{"in the target", plain("GET http://shop:" + attackedKey + "@localhost/x"), outcome{status: 400, open: true}},
	{"in a trailer", "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\n" + withKey + "\r\n\r\n", refused(401, "key")},
	{"in another header", plain("GET /x", "X-Authorization: Bearer "+attackedKey), refused(401, "key")},
	{"with an underscore", plain("GET /x", "Authorization_: Bearer "+attackedKey), refused(401, "key")},
	{"in the second of two requests", plain("GET /x") + plain("GET /y", withKey), outcome{status: 401, hits: []string{"GET /y"}, open: true, reason: "key"}},
	{"in the first of two requests", plain("GET /x", withKey) + plain("GET /y"), outcome{status: 200, hits: []string{"GET /x"}, open: true, reason: "key"}},
	{"a page with the right one", plain("GET /x", withKey, "Origin: x"), refused(403, "browser")},
	{"a foreign Host with the right one", to("evil.example", withKey), refused(421, "host")},
}
