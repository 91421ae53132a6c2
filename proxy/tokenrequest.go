package proxy

import (
	"cmp"
	"net/http"
	"strconv"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/tokenendpoint"
)

// standIn answers the app's own token request, which needs no token of the account, nor that there is one.
func (p *Proxy) standIn(w http.ResponseWriter, r *http.Request, a asked, report *Report) {
	endpoint := *p.config.StandIn
	if p.config.Door.ShownAsProxy(r) {
		endpoint.Key = nil // the app shows it with each request, and may have any client secret
	}
	answer := endpoint.Answer(r, a.account)
	// To a client that did not send the key, nothing may depend on which accounts there are. Where no key is set, any client may
	// use all of them, and there is nothing to hide.
	if !answer.WrongKey {
		if a.named {
			if _, problem := p.tokens(a); problem != nil {
				problem.answer(w, report)
				return
			}
		}
		report.Account = cmp.Or(a.account, DefaultAccount)
	}
	header := w.Header()
	for name, values := range answer.Header {
		header[name] = values
	}
	header.Set("Content-Length", strconv.Itoa(len(answer.Body)))
	status := identity + `; details="a stand-in token, of use at this broker alone"`
	if answer.Error != "" {
		report.Problem = "http_request_error"
		status = identity + "; error=" + report.Problem + "; details=" + structuredString(answer.Error)
	}
	if answer.WrongKey {
		report.Denied = access.Key
	}
	header.Set("Proxy-Status", status)
	report.Status = answer.Status
	w.WriteHeader(answer.Status)
	report.wrote(w.Write(answer.Body))
}

// standInToken returns the stand-in that a request bears, and false if it bears none.
func standInToken(header http.Header) (tokenendpoint.Token, bool) {
	values := header["Authorization"]
	if len(values) != 1 {
		return tokenendpoint.Token{}, false
	}
	token, ok := access.Bearer(values[0])
	if !ok {
		return tokenendpoint.Token{}, false
	}
	return tokenendpoint.Parse(token)
}
