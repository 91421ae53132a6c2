package proxy

import (
	"net/http"
	"net/url"

	"etrusted-broker/internal/problem"
	"etrusted-broker/proxy/access"
)

// PassThroughOutcome is the outcome of a request or a tunnel that passes through: a closed set, used as the label of a metric.
type PassThroughOutcome string

// The outcomes of what the policy lets pass through.
const (
	PassThroughSuccess      PassThroughOutcome = "success"       // a tunnel was opened, or the host has answered
	PassThroughRefused      PassThroughOutcome = "refused"       // the address of the host is not one to which the broker connects
	PassThroughFailed       PassThroughOutcome = "failed"        // the host was not reached, or its response is broken
	PassThroughClientClosed PassThroughOutcome = "client_closed" // the client went away, or its body is broken
)

// PassThroughOutcomes lists all outcomes.
var PassThroughOutcomes = [...]PassThroughOutcome{PassThroughSuccess, PassThroughRefused, PassThroughFailed, PassThroughClientClosed}

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
	case failed == errAddressRefused:
		return PassThroughRefused
	case x.r.Gone(), failed == errBrokenBody:
		return PassThroughClientClosed
	default:
		return PassThroughFailed
	}
}

// errAddressRefused does not say which of the addresses it was: an app must not find out what else is at this machine.
var errAddressRefused = &problem.Problem{
	Code:         "address-refused",
	Status:       http.StatusForbidden,
	Title:        "The broker refused the request",
	ProxyError:   "destination_ip_prohibited",
	DenialReason: string(access.ReasonTarget),
	Detail:       "the host has an address that the broker does not connect to",
	Hint:         "Loopback, link-local, multicast and cloud metadata addresses are refused unless BROKER_PASS_HOSTS contains the address itself; those at which the broker listens always are.",
}
