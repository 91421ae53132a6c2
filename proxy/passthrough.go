package proxy

import (
	"net/http"
	"net/url"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
)

// passThrough serves a request for another host, without a token. Nothing that reveals the host is recorded.
func (x *exchange) passThrough() {
	x.record.Path, x.generatedID = "", ""
	var failed *problem.Problem
	if x.r.Method == http.MethodConnect {
		failed = x.passTunnel(access.NewTunnel(&x.route.Request))
	} else {
		failed = x.passRequest()
	}
	if failed != nil {
		x.respond(failed)
	}
	x.record.Passed = x.passOutcome(failed)
}

// passTunnel opens a tunnel that the broker does not look into.
func (x *exchange) passTunnel(tunnel *access.Tunnel) *problem.Problem {
	target, err := x.proxy.config.PassThrough.Dial(x.r.Context(), tunnel.Target)
	if err != nil {
		return x.upstreamFailure(err)
	}
	if denied := x.proxy.config.Policy.CheckTunnel(tunnel); denied != nil { // its caller was removed meanwhile
		_ = target.Close() // nothing was sent
		return denied
	}
	x.record.Status = http.StatusOK
	x.w.OpenPassThrough(target, tunnel)
	return nil
}

// passRequest forwards an absolute-form request, with the app's own credentials.
func (x *exchange) passRequest() *problem.Problem {
	if broken := x.body.read(); broken != nil {
		return broken
	}
	request := x.outboundRequest(x.route.Target, x.route.host, "")
	request.Fields.Add("Connection", "close")
	response, err := x.proxy.config.PassThrough.RoundTrip(&url.URL{Scheme: x.route.absoluteScheme, Host: x.route.Host}, request)
	if err != nil {
		return x.upstreamFailure(err)
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end, or is no longer needed
	x.relay(response)
	return nil
}

func (x *exchange) passOutcome(failed *problem.Problem) PassThroughOutcome {
	switch {
	case failed == nil && !x.record.Broken:
		return PassThroughSuccess
	case failed == errPassHostAddressRefused:
		return PassThroughAddressRefused
	case x.r.Gone(), failed == errBrokenBody:
		return PassThroughClientClosed
	default:
		return PassThroughFailed
	}
}
