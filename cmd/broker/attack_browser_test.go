package main

import (
	"testing"

	"etrusted-broker/internal/brokertest"
)

// navigationHeaders are what Chromium sends when the user types an address.
const navigationHeaders = "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-User: ?1"

// A web page can make a browser send these requests. GET is refused too: a page that circumvents CORS could read the response, and
// even an unread one counts against the account.
func TestDeniesRequestsOfWebPages(t *testing.T) {
	t.Parallel()
	startAttackTarget(t).runAll(t, []attack{
		{"Origin", brokertest.PlainRequest("GET /x", "Origin: https://shop.example"), denied(403, "browser")},
		{"Origin null", brokertest.PlainRequest("GET /x", "Origin: null"), denied(403, "browser")},
		{"Origin empty", brokertest.PlainRequest("GET /x", "Origin:"), denied(403, "browser")},
		{"Origin is the broker", brokertest.PlainRequest("GET /x", "Origin: http://localhost:8080"), denied(403, "browser")},
		{"Origin is the API", brokertest.PlainRequest("GET /x", "Origin: https://api.etrusted.com"), denied(403, "browser")},
		{"Origin in odd case", brokertest.PlainRequest("GET /x", "oRIGIN: x"), denied(403, "browser")},
		{"Origin twice", brokertest.PlainRequest("GET /x", "Origin:", "Origin: x"), denied(403, "browser")},
		{"Origin named in Connection", brokertest.PlainRequest("GET /x", "Connection: Origin", "Origin: x"), denied(403, "browser")},
		{"Origin with POST", "POST /x HTTP/1.1\r\nHost: localhost\r\nOrigin: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", denied(403, "browser")},
		{"preflight", brokertest.PlainRequest("OPTIONS /x", "Origin: https://shop.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Private-Network: true"), denied(403, "browser")},
		{"preflight without Origin", brokertest.PlainRequest("OPTIONS /x", "Access-Control-Request-Method: GET"), forwarded("OPTIONS /x")},
		{"cross-site GET", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"), denied(403, "browser")},
		{"cross-site HEAD", brokertest.PlainRequest("HEAD /x", "Sec-Fetch-Site: cross-site"), denied(403, "browser")},
		{"cross-site navigation", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-User: ?1"), denied(403, "browser")},
		{"same-site", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: same-site"), denied(403, "browser")}, // another port of localhost is the same site
		{"site in odd case", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: NONE"), denied(403, "browser")},
		{"site empty", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site:"), denied(403, "browser")},
		{"site unknown", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: same-planet"), denied(403, "browser")},
		{"site twice", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"), denied(403, "browser")},
		{"site as a list", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: none, cross-site"), denied(403, "browser")},
		{"site with a parameter", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: none;a"), denied(403, "browser")},
		{"form", "POST /x HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 3\r\n\r\na=b", denied(403, "browser")},
		{"Origin and a wrong Host", "GET /x HTTP/1.1\r\nHost: evil.example\r\nOrigin: x\r\n\r\n", denied(421, "host")},
		{"absolute-form with Origin", brokertest.PlainRequest("GET http://localhost/x", "Origin: x"), denied(403, "browser")},
		{"WebSocket of a page", brokertest.PlainRequest("GET /x", "Origin: x", "Connection: Upgrade", "Upgrade: websocket"), denied(403, "browser")},

		// Other requests that Chromium sends for a page, with its headers.
		{"early hint", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Sec-Fetch-Storage-Access: none"), denied(403, "browser")},
		{"background fetch", brokertest.PlainRequest("GET /x", "Origin: https://shop.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: empty"), denied(403, "browser")},
		{"FedCM", brokertest.PlainRequest("GET /.well-known/web-identity", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: webidentity"), denied(403, "browser")},
		{"payment method", brokertest.PlainRequest("HEAD /x", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"), denied(403, "browser")},
		{"preflight of a report", brokertest.PlainRequest("OPTIONS /x", "Origin: https://shop.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"), denied(403, "browser")},
		{"report", "POST /x HTTP/1.1\r\nHost: localhost\r\nOrigin: https://shop.example\r\nContent-Type: application/reports+json\r\nContent-Length: 2\r\n\r\n[]", denied(403, "browser")},
		{"page that redirects once it reloads", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1"), denied(403, "browser")},

		// The browser acts because of a page, with the headers of a request by the user.
		{"prefetch by speculation rules", brokertest.PlainRequest("GET /x", navigationHeaders, "Sec-Purpose: prefetch"), denied(403, "browser")},
		{"prerendering by speculation rules", brokertest.PlainRequest("GET /x", navigationHeaders, "Sec-Purpose: prefetch;prerender"), denied(403, "browser")},
		{"Sec-Purpose and nothing else", brokertest.PlainRequest("GET /x", "Sec-Purpose: prefetch"), denied(403, "browser")},
		{"Sec-Purpose empty", brokertest.PlainRequest("GET /x", "Sec-Purpose:"), denied(403, "browser")},
		{"Sec-Purpose unknown", brokertest.PlainRequest("GET /x", "sEC-pURPOSE: preview"), denied(403, "browser")},
		{"Purpose", brokertest.PlainRequest("GET /x", "Purpose: prefetch"), denied(403, "browser")},
		{"Purpose in odd case", brokertest.PlainRequest("GET /x", "pURPOSE: PreFetch"), denied(403, "browser")},
		{"Purpose with a parameter", brokertest.PlainRequest("GET /x", "Purpose: prefetch;prerender"), denied(403, "browser")},
		{"Purpose as a list", brokertest.PlainRequest("GET /x", "Purpose: preview, prefetch"), denied(403, "browser")},
		{"Purpose twice", brokertest.PlainRequest("GET /x", "Purpose: preview", "Purpose: prefetch"), denied(403, "browser")},
		{"Purpose named in Connection", brokertest.PlainRequest("GET /x", "Connection: Purpose", "Purpose: prefetch"), denied(403, "browser")},
		{"X-Moz", brokertest.PlainRequest("GET /x", "X-Moz: prefetch"), denied(403, "browser")},
		{"X-Moz in odd case", brokertest.PlainRequest("GET /x", "x-moz: Prefetch"), denied(403, "browser")},
		{"issuer of a certificate", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"), denied(403, "browser")},
		{"issuer of a certificate, on Windows", brokertest.PlainRequest("GET /x", "User-Agent: Microsoft-CryptoAPI/10.0"), denied(403, "browser")},
		{"issuer of a certificate, on macOS", brokertest.PlainRequest("GET /x", "User-Agent: com.apple.trustd/3.0"), denied(403, "browser")},
		{"script of the browser itself", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: cors"), denied(403, "browser")},
		{"site none, mode in odd case", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: Navigate"), denied(403, "browser")},
		{"site none, mode empty", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: none", "Sec-Fetch-Mode:"), denied(403, "browser")},
		{"site none, mode twice", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: no-cors"), denied(403, "browser")},
		{"site none, mode as a list", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate, no-cors"), denied(403, "browser")},

		{"fetch of Node", brokertest.PlainRequest("GET /x", "Sec-Fetch-Mode: cors", "User-Agent: node"), forwarded("GET /x")},
		{"address bar", brokertest.PlainRequest("GET /x", navigationHeaders), forwarded("GET /x")},
		{"site none without a mode", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: none"), forwarded("GET /x")},
		{"Purpose of an app", brokertest.PlainRequest("GET /x", "Purpose: prefetching, export"), forwarded("GET /x")},
		{"its own page", brokertest.PlainRequest("GET /x", "Sec-Fetch-Site: same-origin"), forwarded("GET /x")},
		{"icon of a window that a page has opened", brokertest.PlainRequest("GET /favicon.ico", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"), denied(403, "browser")},
		{"only Referer", brokertest.PlainRequest("GET /x", "Referer: https://shop.example/"), forwarded("GET /x")},
		{"debug is the API's", brokertest.PlainRequest("GET /debug/pprof/"), forwarded("GET /debug/pprof/")},
		{"metrics is the API's", brokertest.PlainRequest("GET /metrics"), forwarded("GET /metrics")},
		{"healthz is the API's", brokertest.PlainRequest("GET /healthz"), forwarded("GET /healthz")},

		// DNS rebinding: only the Host header shows the attack.
		{"Host foreign", getWithHost("evil.example"), denied(421, "host")},
		{"Host foreign with port", getWithHost("evil.example:8080"), denied(421, "host")},
		{"Host ends like localhost", getWithHost("evil-localhost"), denied(421, "host")},
		{"Host begins like localhost", getWithHost("localhost.evil.example"), denied(421, "host")},
		{"Host is a subdomain of localhost", getWithHost("evil.localhost"), denied(421, "host")},
		{"Host localhost.localdomain", getWithHost("localhost.localdomain"), denied(421, "host")},
		{"Host with two dots", getWithHost("localhost.."), denied(421, "host")},
		{"Host looks like an address", getWithHost("127.0.0.1.evil.example"), denied(421, "host")},
		{"Host by nip.io", getWithHost("127-0-0-1.nip.io"), denied(421, "host")},
		{"Host 0.0.0.0", getWithHost("0.0.0.0"), denied(421, "host")},
		{"Host 0.0.0.0 with port", getWithHost("0.0.0.0:8080"), denied(421, "host")},
		{"Host 0", getWithHost("0"), denied(421, "host")},
		{"Host ::", getWithHost("[::]:8080"), denied(421, "host")},
		{"Host short address", getWithHost("127.1"), denied(421, "host")},
		{"Host decimal address", getWithHost("2130706433"), denied(421, "host")},
		{"Host hexadecimal address", getWithHost("0x7f.0.0.1"), denied(421, "host")},
		{"Host octal address", getWithHost("0177.0.0.1"), denied(421, "host")},
		{"Host with a zone", getWithHost("[::1%25lo]"), malformed(400)},
		{"Host mapped", getWithHost("[::ffff:127.0.0.1]"), denied(421, "host")}, // no browser sends Sec-Fetch-Site to it
		{"Host private address", getWithHost("192.168.0.1"), denied(421, "host")},
		{"Host metadata address", getWithHost("169.254.169.254"), denied(421, "host")},
		{"Host empty", getWithHost(""), denied(421, "host")},
		{"Host is only a port", getWithHost(":8080"), malformed(400)},
		{"Host is a dot", getWithHost("."), malformed(400)},
		{"Host with user", getWithHost("localhost@evil.example"), malformed(400)},
		{"Host as user", getWithHost("evil.example@localhost"), malformed(400)},
		{"Host with a path", getWithHost("localhost/evil.example"), malformed(400)},
		{"Host with a scheme", getWithHost("http://localhost"), malformed(400)},
		{"Host with a blank", getWithHost("localhost evil.example"), malformed(400)},
		{"Host with a tab", getWithHost("localhost\tevil.example"), malformed(400)},
		{"Host as a list", getWithHost("localhost, evil.example"), malformed(400)},
		{"Host as a list without a blank", getWithHost("localhost,evil.example"), denied(421, "host")},
		{"Host with a name as port", getWithHost("evil.example:localhost"), malformed(400)},
		{"Host with two ports", getWithHost("localhost:80:evil.example"), malformed(400)},
		{"Host with a backslash", getWithHost(`localhost\evil.example`), malformed(400)},
		{"Host with a number sign", getWithHost("localhost#evil.example"), malformed(400)},
		{"Host with a question mark", getWithHost("localhost?evil.example"), malformed(400)},
		{"Host in UTF-8", getWithHost("l\xc3\xb6calhost"), malformed(400)},
		{"Host with a full-width letter", getWithHost("\xef\xbd\x8cocalhost"), malformed(400)},
		{"Host encoded", getWithHost("%6cocalhost"), denied(421, "host")},
		{"X-Forwarded-Host does not help", getWithHost("evil.example", "X-Forwarded-Host: localhost", "Forwarded: host=localhost"), denied(421, "host")},

		{"Host with port", getWithHost("localhost:8080"), forwarded("GET /x")},
		{"Host in odd case with a dot", getWithHost("LocalHost."), forwarded("GET /x")},
		{"Host 127.0.0.1", getWithHost("127.0.0.1:1"), forwarded("GET /x")},
		{"Host 127.9.9.9", getWithHost("127.9.9.9"), forwarded("GET /x")},
		{"Host ::1", getWithHost("[::1]:8080"), forwarded("GET /x")},
	})
}
