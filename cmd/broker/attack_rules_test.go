package main

import (
	"testing"

	"etrusted-broker/internal/brokertest"
)

func TestAllowListWithstandsAttacks(t *testing.T) {
	t.Parallel()
	const rules = "GET /channels, GET /reviews/{id}, POST /events, GET /open/, GET /after, DELETE /reviews/{id}/veto"
	startAttackTarget(t, "BROKER_ALLOW="+rules).runAll(t, []attack{
		{"allowed", brokertest.PlainRequest("GET /channels"), forwarded("GET /channels")},
		{"allowed with a query", brokertest.PlainRequest("GET /channels?a=/../b"), forwarded("GET /channels?a=/../b")},
		{"HEAD goes with GET", brokertest.PlainRequest("HEAD /channels"), forwarded("HEAD /channels")},
		{"allowed to an account", brokertest.PlainRequest("GET /@shop/channels"), forwarded("GET /channels")},
		{"allowed in absolute-form", brokertest.PlainRequest("GET http://localhost/channels"), forwarded("GET /channels")},
		{"allowed with a body", "POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", forwarded("POST /events")},
		{"a letter encoded", brokertest.PlainRequest("GET /%63hannels"), forwarded("GET /%63hannels")}, // it is the same path

		{"another path", brokertest.PlainRequest("GET /invites"), denied(403, "rule")},
		{"another path encoded", brokertest.PlainRequest("GET /%69nvites"), denied(403, "rule")},
		{"another path behind two slashes", brokertest.PlainRequest("GET //invites"), denied(403, "rule")},
		{"another path in absolute-form", brokertest.PlainRequest("GET http://localhost/invites"), denied(403, "rule")},
		{"another method", brokertest.PlainRequest("DELETE /channels"), denied(403, "rule")},
		{"method in lower case", brokertest.PlainRequest("get /channels"), denied(403, "rule")},
		{"method in mixed case", brokertest.PlainRequest("Post /events"), denied(403, "rule")},
		{"path in capitals", brokertest.PlainRequest("GET /CHANNELS"), denied(403, "rule")},
		{"trailing slash", brokertest.PlainRequest("GET /channels/"), denied(403, "rule")},
		{"below", brokertest.PlainRequest("GET /channels/1"), denied(403, "rule")},
		{"encoded slash below", brokertest.PlainRequest("GET /channels%2f1"), denied(403, "rule")},
		{"fragment", brokertest.PlainRequest("GET /channels#/x"), denied(403, "rule")},
		{"fragment first", brokertest.PlainRequest("GET /invites#/channels"), denied(403, "rule")},
		{"fragment in the query", brokertest.PlainRequest("GET /channels?#"), denied(403, "rule")},
		{"encoded fragment", brokertest.PlainRequest("GET /channels%23"), denied(403, "rule")},
		{"encoded query", brokertest.PlainRequest("GET /channels%3fx"), denied(403, "rule")},
		{"parameter", brokertest.PlainRequest("GET /channels;x"), denied(403, "rule")},
		{"blank encoded", brokertest.PlainRequest("GET /channels%20"), denied(403, "rule")},
		{"NUL encoded", brokertest.PlainRequest("GET /channels%00"), denied(400, "path")},
		{"dot segments out of it", brokertest.PlainRequest("GET /open/../invites"), denied(400, "path")},
		{"dot segments into it", brokertest.PlainRequest("GET /invites/../channels"), denied(400, "path")},
		{"encoded dot segments out of it", brokertest.PlainRequest("GET /open/%2e%2e/invites"), denied(400, "path")},
		{"encoded slash and dots out of it", brokertest.PlainRequest("GET /open/..%2finvites"), denied(400, "path")},
		{"dots with a parameter out of it", brokertest.PlainRequest("GET /open/..;/invites"), denied(400, "path")},
		{"backslashes out of it", brokertest.PlainRequest(`GET /open/..\invites`), denied(400, "path")},
		{"encoded slash is a slash", brokertest.PlainRequest("GET /reviews/1%2fvetos"), denied(403, "rule")},
		{"slash encoded twice", brokertest.PlainRequest("GET /reviews/1%252fvetos"), denied(403, "rule")}, // for servers that decode twice
		{"slash encoded thrice", brokertest.PlainRequest("GET /reviews/1%25252fvetos"), denied(403, "rule")},
		{"slash encoded in part", brokertest.PlainRequest("GET /reviews/1%25%32fvetos"), denied(403, "rule")},
		{"letter encoded twice", brokertest.PlainRequest("GET /%2563hannels"), denied(403, "rule")},
		{"encoded slash within", brokertest.PlainRequest("GET /open/1%2f2"), forwarded("GET /open/1%2f2")},
		{"double slash in place of a name", brokertest.PlainRequest("GET /reviews//1"), denied(403, "rule")},
		{"double slashes in front", brokertest.PlainRequest("GET //channels"), denied(403, "rule")},
		{"encoded slash in front", brokertest.PlainRequest("GET /%2fchannels"), denied(403, "rule")},
		{"slashes below an allowed subtree", brokertest.PlainRequest("GET /open//1///2"), forwarded("GET /open//1///2")},
		{"double slash before an allowed subtree", brokertest.PlainRequest("GET //open/1"), denied(403, "rule")},
		{"encoded slash that some servers treat as data", brokertest.PlainRequest("DELETE /reviews/1%2fveto"), denied(403, "rule")},
		{"encoded slash before an allowed subtree", brokertest.PlainRequest("GET /open%2f1"), denied(403, "rule")},

		// If one server forwards the decoded path to another, that one sees a request that was not allowed.
		{"veto", brokertest.PlainRequest("DELETE /reviews/1/veto"), forwarded("DELETE /reviews/1/veto")},
		{"review of a veto", brokertest.PlainRequest("DELETE /reviews/1"), denied(403, "rule")},
		{"encoded query before the end", brokertest.PlainRequest("DELETE /reviews/1%3f/veto"), denied(403, "rule")},
		{"encoded query for a name", brokertest.PlainRequest("DELETE /reviews/%3fx/veto"), denied(403, "rule")},
		{"query encoded twice", brokertest.PlainRequest("DELETE /reviews/1%253f/veto"), denied(403, "rule")},
		{"query encoded thrice", brokertest.PlainRequest("DELETE /reviews/1%25253f/veto"), denied(403, "rule")},
		{"encoded fragment before the end", brokertest.PlainRequest("DELETE /reviews/1%23/veto"), denied(403, "rule")},
		{"fragment encoded twice", brokertest.PlainRequest("DELETE /reviews/1%2523/veto"), denied(403, "rule")},
		{"parameter before the end", brokertest.PlainRequest("DELETE /reviews/1;/veto"), denied(403, "rule")},
		{"encoded parameter before the end", brokertest.PlainRequest("DELETE /reviews/1%3b/veto"), denied(403, "rule")},
		{"encoded query within a name", brokertest.PlainRequest("GET /reviews/1%3fx"), forwarded("GET /reviews/1%3fx")},
		{"parameter of a name", brokertest.PlainRequest("GET /reviews/1;x"), forwarded("GET /reviews/1;x")},
		{"parameter for a name", brokertest.PlainRequest("GET /reviews/;x"), denied(403, "rule")},
		{"dots for a name", brokertest.PlainRequest("GET /reviews/..."), denied(403, "rule")},
		{"blank for a name", brokertest.PlainRequest("GET /reviews/%20"), denied(403, "rule")},
		{"dot at the end", brokertest.PlainRequest("GET /channels."), denied(403, "rule")},
		{"overlong slash", brokertest.PlainRequest("GET /reviews/1%c0%afveto"), denied(403, "rule")},
		{"no UTF-8", brokertest.PlainRequest("GET /reviews/\xff"), denied(403, "rule")},
		{"UTF-8", brokertest.PlainRequest("GET /reviews/%c3%a4"), forwarded("GET /reviews/%c3%a4")},
		{"no UTF-8 in the query", brokertest.PlainRequest("GET /reviews/1?%ff\xff"), forwarded("GET /reviews/1?%ff\xff")},
		{"no name", brokertest.PlainRequest("GET /reviews/"), denied(403, "rule")},
		{"two names", brokertest.PlainRequest("GET /reviews/1/2"), denied(403, "rule")},
		{"account in front", brokertest.PlainRequest("GET /@shop/invites"), denied(403, "rule")},
		{"account in front of an account", brokertest.PlainRequest("GET /@shop/@shop/channels"), denied(403, "rule")},
		{"only an account", brokertest.PlainRequest("GET /@shop"), denied(403, "rule")},
		{"account encoded", brokertest.PlainRequest("GET /%40shop/channels"), denied(403, "rule")},
		{"account behind two slashes", brokertest.PlainRequest("GET //@shop/channels"), denied(403, "rule")},
		{"unknown account", brokertest.PlainRequest("GET /@unknown/invites"), denied(403, "rule")},
		{"path for an account", brokertest.PlainRequest("GET /@channels"), denied(403, "rule")},
		{"OPTIONS *", brokertest.PlainRequest("OPTIONS *"), denied(403, "rule")},
		// Some servers take another method or path from a header.
		{"method override", brokertest.PlainRequest("GET /channels", "X-HTTP-Method-Override: DELETE"), denied(403, "rule")},
		{"method override in odd case", brokertest.PlainRequest("GET /channels", "x-http-METHOD-override: DELETE"), denied(403, "rule")},
		{"method override, empty", brokertest.PlainRequest("GET /channels", "X-HTTP-Method-Override:"), denied(403, "rule")},
		{"method override named in Connection", brokertest.PlainRequest("GET /channels", "Connection: X-HTTP-Method-Override", "X-HTTP-Method-Override: DELETE"), denied(403, "rule")},
		{"method override of others", brokertest.PlainRequest("GET /channels", "X-Method-Override: DELETE"), denied(403, "rule")},
		{"method override of Microsoft's", brokertest.PlainRequest("GET /channels", "X-HTTP-Method: DELETE"), denied(403, "rule")},
		{"path override", brokertest.PlainRequest("GET /channels", "X-Original-URL: /invites"), denied(403, "rule")},
		{"path override of others", brokertest.PlainRequest("GET /channels", "X-Rewrite-URL: /invites"), denied(403, "rule")},
		{"original method", brokertest.PlainRequest("GET /channels", "X-Original-Method: DELETE"), denied(403, "rule")},
		{"path override by URL", brokertest.PlainRequest("GET /channels", "X-Override-URL: /invites"), denied(403, "rule")},
		{"path override by name", brokertest.PlainRequest("GET /channels", "X-HTTP-Path-Override: /invites"), denied(403, "rule")},
		{"path override to an account", brokertest.PlainRequest("GET /@shop/channels", "X-Original-URL: /invites"), denied(403, "rule")},
		{"body that holds a request", "GET /channels HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, forwarded("GET /channels")},
		{"pipelined", brokertest.PlainRequest("GET /channels") + brokertest.PlainRequest("GET /invites"), outcome{status: 200, upstream: []string{"GET /channels"}, reusable: true, reason: "rule"}},
	})
}

func TestReadOnlyWithstandsAttacks(t *testing.T) {
	t.Parallel()
	startAttackTarget(t, "BROKER_ALLOW=READ-ONLY").runAll(t, []attack{
		{"GET", brokertest.PlainRequest("GET /x"), forwarded("GET /x")},
		{"HEAD", brokertest.PlainRequest("HEAD /x"), forwarded("HEAD /x")},
		{"GET of anything", brokertest.PlainRequest("GET //a%2fb;c?d#e"), forwarded("GET //a%2fb;c?d#e")},
		{"GET with a body", "GET /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", forwarded("GET /x")},
		{"POST", "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", denied(403, "rule")},
		{"PUT", brokertest.PlainRequest("PUT /x"), denied(403, "rule")},
		{"PATCH", brokertest.PlainRequest("PATCH /x"), denied(403, "rule")},
		{"DELETE", brokertest.PlainRequest("DELETE /x"), denied(403, "rule")},
		{"DELETE to an account", brokertest.PlainRequest("DELETE /@shop/x"), denied(403, "rule")},
		{"OPTIONS", brokertest.PlainRequest("OPTIONS /x"), denied(403, "rule")},
		{"OPTIONS *", brokertest.PlainRequest("OPTIONS *"), denied(403, "rule")},
		{"PROPFIND", brokertest.PlainRequest("PROPFIND /x"), denied(403, "rule")},
		{"get", brokertest.PlainRequest("get /x"), denied(403, "rule")},
		{"GET that is to be a DELETE", brokertest.PlainRequest("GET /x", "X-HTTP-Method-Override: DELETE"), denied(403, "rule")},
		{"HEAD that is to be a POST", brokertest.PlainRequest("HEAD /x", "X-Method-Override: POST"), denied(403, "rule")},
		{"GETX", brokertest.PlainRequest("GETX /x"), denied(403, "rule")},
		{"chunked POST that hides a GET", "POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
			outcome{status: 403, upstream: []string{"GET /smuggled"}, reusable: true, reason: "rule"}}, // pipelined, and allowed
		{"POST that holds a GET", "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + smuggledLength + "\r\n\r\n" + smuggled, denied(403, "rule")},
	})
}
