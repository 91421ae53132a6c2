package admin

import (
	"fmt"

	"etrusted-broker/metrics"
)

// apiHealth has the results of the last five minutes' requests to the API.
type apiHealth struct {
	failed, limited, unauthorized share // of the requests that were sent to the API: those without a token were not
	abandoned                     share // of all requests
	latency                       float64
}

func (t traffic) api() apiHealth {
	sent := counter(metrics.CountUpstreamRequests)
	return apiHealth{
		failed:       t.share(counter(metrics.CountUpstreamErrors), sent),
		limited:      t.share(counter(metrics.CountRateLimited), sent),
		unauthorized: t.share(counter(metrics.CountUnauthorized), sent),
		abandoned:    t.share(counter(metrics.CountClientClosed), metrics.Counts.Requests),
		latency:      windowOf(t.fiveMinutes.sum, t.fiveMinutes.span).APISeconds,
	}
}

// counter returns the function that reads a counter.
func counter(c metrics.Counter) func(metrics.Counts) uint64 {
	return func(counts metrics.Counts) uint64 { return counts[c] }
}

// codeAPIErrors is the code of an API that does not work.
const codeAPIErrors = "api-errors"

// diagnose returns the API's worst problem, if it has one.
func (h apiHealth) diagnose() []Diagnosis {
	for _, problem := range []struct {
		share
		Diagnosis
	}{
		{h.failed, Diagnosis{
			Cause: CauseAPI, Code: codeAPIErrors, Summary: "The API returns errors, or does not answer.",
			Advice: "The API's own responses pass through unchanged. If it cannot be reached, the broker's response says why, in detail. " +
				"If this lasts, check the eTrusted status page, this machine's connection to the API, and ETRUSTED_API_URL.",
		}},
		{h.limited, Diagnosis{
			Cause: CauseApp, Code: "api-rate-limit", Summary: "The API refuses requests with 429: there are too many.",
			Advice: "Send fewer requests, and wait as long as Retry-After says; or ask eTrusted about your limits. Other programs with the same credentials count too.",
		}},
		{h.unauthorized, Diagnosis{
			Cause: CauseCredentials, Code: "api-unauthorized", Summary: "The API refuses requests with 401 or 403.",
			Advice: "The client lacks a right for these requests: see the roles that etrusted-broker check prints. Or the token is for another " +
				"API: check ETRUSTED_AUDIENCE, and that ETRUSTED_TOKEN_URL and ETRUSTED_API_URL belong together.",
		}},
		{h.abandoned, Diagnosis{
			Cause: CauseAPI, Code: "apps-disconnect", Summary: "Apps disconnect before the response.",
			Advice: "Compare the apps' timeouts with the API's latency.",
		}},
	} {
		if !problem.isLarge() {
			continue
		}
		problem.State = BrokerDegraded
		if problem.part == problem.all {
			problem.State = BrokerDown
		}
		problem.Detail = fmt.Sprintf("This affected %d of %d requests in the last 5 minutes.", problem.part, problem.all)
		return []Diagnosis{problem.Diagnosis}
	}
	return nil
}

func (h apiHealth) component() Component {
	switch problems := h.diagnose(); {
	case h.failed.all == 0:
		return Component{State: ComponentUnknown, Summary: "No request was sent to it in the last 5 minutes."}
	case len(problems) == 0:
		return Component{State: ComponentOK, Summary: "It answers.", LatencySeconds: h.latency}
	case problems[0].State == BrokerDown:
		return Component{State: ComponentFailing, Summary: problems[0].Summary, LatencySeconds: h.latency}
	default:
		return Component{State: ComponentWarning, Summary: problems[0].Summary, LatencySeconds: h.latency}
	}
}
