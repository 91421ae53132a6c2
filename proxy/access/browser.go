package access

import (
	"strings"

	"etrusted-broker/proxy/http1"
)

// MayComeFromWebPage reports whether a web page can have caused a request with these fields. A browser sends Origin with
// every request that may change something, and Sec-Fetch-Site with every request to a loopback address. Its value is
// "none" if the user caused the request, but also if the browser itself acted on what a page or its server said:
//
//   - It fetches a page before the user opens it (speculation rules, links). Such a request says that it is a prefetch.
//   - It fetches the issuer of an untrusted certificate, from the URL in that certificate. Such a request is not a
//     navigation. Windows and macOS may fetch the issuer themselves, without any Sec-Fetch field.
//
// Other clients do not send these fields, with one exception: Node's fetch sends Sec-Fetch-Mode without Sec-Fetch-Site.
func MayComeFromWebPage(fields http1.Fields) bool {
	if fields.Has("Origin") || isPrefetch(fields) || isCertificateFetchByOS(fields) {
		return true
	}
	for site := range fields.Lines("Sec-Fetch-Site") {
		if site != "same-origin" && (site != "none" || !mayBeNavigation(fields)) {
			return true
		}
	}
	return false
}

// mayBeNavigation reports whether a request opens a document, or does not say. Browsers have sent Sec-Fetch-Mode for as long as
// Sec-Fetch-Site, but a program that imitates one may omit it.
func mayBeNavigation(fields http1.Fields) bool {
	for mode := range fields.Lines("Sec-Fetch-Mode") {
		if mode != "navigate" {
			return false
		}
	}
	return true
}

// isPrefetch reports whether a browser sends a request before the user asks for it. The Fetch standard knows no other use
// of Sec-Purpose. Purpose and X-Moz are its predecessors, and may have other values.
func isPrefetch(fields http1.Fields) bool {
	for _, name := range []string{"Purpose", "X-Moz"} {
		for item := range fields.Elements(name) {
			token, _, _ := strings.Cut(item, ";") // parameters follow
			if strings.EqualFold(strings.TrimSpace(token), "prefetch") {
				return true
			}
		}
	}
	return fields.Has("Sec-Purpose")
}

// isCertificateFetchByOS reports whether a request comes from the part of Windows or macOS that fetches the issuer of a
// certificate. A server that a page names chooses the URL, and these send none of a browser's fields.
func isCertificateFetchByOS(fields http1.Fields) bool {
	agent := fields.Get("User-Agent")
	return strings.HasPrefix(agent, "Microsoft-CryptoAPI/") || strings.HasPrefix(agent, "com.apple.trustd/")
}

// isSameOriginSubresource reports whether a browser wants something that belongs to a document from this origin. The API has no
// documents; but when a foreign page opens a window on the broker's address, the browser shows the denial as one, and
// requests its icon, as same-origin. That would be a request that a foreign page has caused.
func isSameOriginSubresource(fields http1.Fields) bool {
	return fields.Get("Sec-Fetch-Site") == "same-origin" && fields.Get("Sec-Fetch-Mode") == "no-cors"
}
