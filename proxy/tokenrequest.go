package proxy

import (
	"cmp"
	"net/http"
	"strconv"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
)

// serveToken answers the app's own token request. It needs no token of the account.
func (p *Proxy) serveToken(w http.ResponseWriter, r *http.Request, route parsedRoute, hasProxyKey bool, record *RequestRecord) {
	endpoint := *p.config.TokenEndpoint
	if hasProxyKey {
		endpoint.ValidKey = nil // the app sends the key with each request, and may have any client secret
	}
	response := endpoint.Handle(r, route.account)
	// Without the key, nothing may depend on which accounts exist. If no key is configured, every client may use all accounts,
	// and there is nothing to hide.
	if !response.WrongKey {
		if route.hasAccount {
			if _, unknown := p.tokenSource(route); unknown != nil {
				respond(w, unknown, record)
				return
			}
		}
		record.Account = cmp.Or(route.account, DefaultAccount)
	}
	details := "a placeholder token, valid only at this broker"
	if response.ErrorCode != "" {
		record.Problem, details = "http_request_error", response.ErrorCode
	}
	if response.WrongKey {
		record.Denied = access.ReasonKey
	}
	header := w.Header()
	for name, values := range response.Header {
		header[name] = values
	}
	header.Set("Content-Length", strconv.Itoa(len(response.Body)))
	header.Set("Proxy-Status", problem.ProxyStatus(record.Problem, details))
	record.Status = response.Status
	w.WriteHeader(response.Status)
	record.countBody(w.Write(response.Body))
}
