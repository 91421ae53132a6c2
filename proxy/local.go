package proxy

import (
	"cmp"
	"net/http"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/tokenendpoint"
)

// openTunnel opens a tunnel that the policy allows (RFC 9110 section 9.3.6). It ends here, and the requests that come through
// it are served like all others.
func (x *exchange) openTunnel() {
	x.record.Status = http.StatusOK
	x.w.OpenTunnel(x.proxy.config.TunnelTLS(x.r.Target), access.NewTunnel(x.r.Target, x.r.Fields))
}

// serveToken answers the app's own token request. It needs no token of the account.
func (x *exchange) serveToken(hasProxyKey bool) {
	endpoint := *x.proxy.config.TokenEndpoint
	if hasProxyKey {
		endpoint.ValidKey = nil // the app sends the key with each request, and may have any client secret
	}
	response := endpoint.Handle(tokenendpoint.Request{
		Account:       x.route.account,
		ContentType:   x.r.Fields.Get("Content-Type"),
		Authorization: x.r.Fields.Get("Authorization"),
		Body:          x.r.Body,
	})
	// Without the key, nothing may depend on which accounts exist. If no key is configured, every client may use all accounts,
	// and there is nothing to hide.
	if !response.WrongKey {
		if x.route.hasAccount {
			if _, unknown := x.proxy.tokenSource(&x.route); unknown != nil {
				x.respond(unknown)
				return
			}
		}
		x.record.Account = cmp.Or(x.route.account, DefaultAccount)
	}
	details := "a placeholder token, valid only at this broker"
	if response.ErrorCode != "" {
		x.record.Problem, details = "http_request_error", response.ErrorCode
	}
	if response.WrongKey {
		x.record.Denied = access.ReasonKey
	}
	x.w.Fields.Add("Content-Type", "application/json")
	x.w.Fields.Add("Cache-Control", "no-store")
	x.w.Fields.Add("Pragma", "no-cache")
	if response.Challenge != "" {
		x.w.Fields.Add("WWW-Authenticate", response.Challenge)
	}
	x.w.Fields.Add("Proxy-Status", problem.ProxyStatus(x.record.Problem, details))
	x.record.Status = response.Status
	x.writeResponse(response.Status, response.Body)
}
