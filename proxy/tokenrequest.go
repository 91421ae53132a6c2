package proxy

import (
	"cmp"
	"net/http"
	"strconv"

	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/tokenendpoint"
)

// serveToken answers the app's own token request, which needs no token of the account, nor that there is one.
func (p *Proxy) serveToken(w http.ResponseWriter, r *http.Request, a route, report *RequestRecord) {
	endpoint := *p.config.TokenEndpoint
	if p.config.Policy.HasProxyKey(r) {
		endpoint.ValidKey = nil // the app shows it with each request, and may have any client secret
	}
	answer := endpoint.Handle(r, a.account)
	// To a client that did not send the key, nothing may depend on which accounts there are. Where no key is set, any client may
	// use all of them, and there is nothing to hide.
	if !answer.WrongKey {
		if a.hasAccount {
			if _, problem := p.tokenSource(a); problem != nil {
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
	status := proxyName + `; details="a placeholder token, valid only at this broker"`
	if answer.ErrorCode != "" {
		report.Problem = "http_request_error"
		status = proxyName + "; error=" + report.Problem + "; details=" + structuredString(answer.ErrorCode)
	}
	if answer.WrongKey {
		report.Denied = access.ReasonKey
	}
	header.Set("Proxy-Status", status)
	report.Status = answer.Status
	w.WriteHeader(answer.Status)
	report.countBody(w.Write(answer.Body))
}

// placeholderToken returns the placeholder that a request bears, and false if it bears none.
func placeholderToken(header http.Header) (tokenendpoint.Token, bool) {
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
