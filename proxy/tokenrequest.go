package proxy

import (
	"cmp"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
	"etrusted-broker/proxy/tokenendpoint"
)

// serveToken answers the app's own token request. It needs no token of the account.
func (x *exchange) serveToken() {
	var denied *problem.Problem // an app of another account must not get data of this caller's
	authorization := x.r.Fields.Get("Authorization")
	request := tokenendpoint.Request{
		Account:       x.route.Account,
		ContentType:   x.r.Fields.Get("Content-Type"),
		Authorization: authorization,
		Body:          x.r.Body,
		AccountExists: func(name string) bool {
			if _, exists := x.proxy.config.Tokens(name); !exists || name == "" {
				return false // a Client ID of the app's own
			}
			denied = x.caller.CheckAccount(name)
			return denied == nil
		},
	}
	if callers, known := x.proxy.config.Policy.Callers, x.caller; callers != nil {
		bearer, _ := access.BearerToken(authorization)
		other := callers.WithKey(tokenendpoint.AccessKeyOrToken(bearer))
		request.CheckSecret = func(secret string) (key string, ok bool) {
			owner := callers.WithKey(secret)
			if known != nil { // it sends its key with each request, or has a certificate, and may have any client secret of its own
				return "", owner == nil || owner.Name == known.Name
			}
			if owner != nil && other != nil && owner.Name != other.Name {
				return "", false // it must not depend on their order which of two callers counts
			}
			x.caller = owner
			return secret, owner != nil
		}
	}
	response := tokenendpoint.Handle(request)
	// Without the key, nothing may depend on which accounts exist. If no key is configured, there is nothing to hide.
	if response.ErrorCode == tokenendpoint.InvalidClient {
		x.record.Denied = access.ReasonKey
	} else {
		if x.route.HasAccount && denied == nil {
			denied = x.caller.CheckAccount(x.route.Account)
		}
		if x.route.HasAccount && denied == nil {
			denied = x.selectAccount()
		}
		if denied != nil {
			x.respond(denied)
			return
		}
		x.record.Account = cmp.Or(x.route.Account, x.caller.FirstAccount(), DefaultAccount)
	}
	details := "a placeholder token, valid only at this broker"
	if response.ErrorCode != "" {
		x.record.ProxyError, details = "http_request_error", response.ErrorCode
	}
	x.w.Fields.Add("Content-Type", "application/json")
	x.w.Fields.Add("Cache-Control", "no-store")
	x.w.Fields.Add("Pragma", "no-cache")
	if response.Challenge != "" {
		x.w.Fields.Add("WWW-Authenticate", response.Challenge)
	}
	x.w.Fields.Add("Proxy-Status", problem.ProxyStatus(x.record.ProxyError, details))
	x.record.Status = response.Status
	x.writeResponse(response.Status, response.Body)
}
