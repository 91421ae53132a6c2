package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"

	"etrusted-broker/metrics"
)

// sentToAPI returns the number of requests that were sent to the API: those without a token were not.
func sentToAPI(counts metrics.Counts) uint64 { return counts[metrics.CountRequestsSentUpstream] }

// codeAPIErrors is the code of an API that does not work.
const codeAPIErrors = "api-errors"

// diagnoseAPI returns the API's worst problem in the last five minutes, if it had one. If the API fails, the last such failure says
// why.
func (t traffic) diagnoseAPI(failures []FailedRequest) []Diagnosis {
	for _, problem := range []struct {
		recentShare
		Diagnosis
	}{
		{t.share(metrics.CountUpstream5xxOrNoAnswer, sentToAPI), Diagnosis{
			Cause: CauseAPI, Code: codeAPIErrors, Summary: "The API returns errors, or does not answer.",
			Advice: "The API's own responses pass through unchanged. If it cannot be reached, the broker's response says why, in detail. " +
				"If this lasts, check the eTrusted status page, this machine's connection to the API, and ETRUSTED_API_URL.",
		}},
		{t.share(metrics.CountUpstream429, sentToAPI), Diagnosis{
			Cause: CauseApp, Code: "api-rate-limit", Summary: "The API refuses requests with 429: there are too many.",
			Advice: "Send fewer requests, and wait as long as Retry-After says; or ask eTrusted about your limits. Other programs with the same credentials count too.",
		}},
		{t.share(metrics.CountUpstream401Or403, sentToAPI), Diagnosis{
			Cause: CauseCredentials, Code: "api-unauthorized", Summary: "The API refuses requests with 401 or 403.",
			Advice: "The client lacks a right for these requests: see the roles that etrusted-broker check prints. Or the token is for another " +
				"API: check ETRUSTED_AUDIENCE, and that ETRUSTED_TOKEN_URL and ETRUSTED_API_URL belong together.",
		}},
		{t.share(metrics.CountClientClosed, metrics.Counts.Requests), Diagnosis{
			Cause: CauseAPI, Code: "apps-disconnect", Summary: "Apps disconnect before the response.",
			Advice: "Compare the apps' timeouts with the API's latency.",
		}},
	} {
		if !problem.needsAttention() {
			continue
		}
		problem.State = BrokerDegraded
		if problem.part == problem.all {
			problem.State = BrokerDown
		}
		problem.Detail = fmt.Sprintf("This affected %d of %d requests in the last 5 minutes.", problem.part, problem.all)
		last := slices.IndexFunc(failures, func(f FailedRequest) bool {
			return !f.Local && f.Status >= 500 || f.Local && (f.Status == http.StatusBadGateway || f.Status == http.StatusGatewayTimeout)
		})
		if problem.Code == codeAPIErrors && last >= 0 {
			problem.Detail += fmt.Sprintf(" The last one got %d, because %s.", failures[last].Status, failures[last].Reason)
			problem.Advice = cmp.Or(failures[last].Hint, problem.Advice)
		}
		return []Diagnosis{problem.Diagnosis}
	}
	return nil
}

func (t traffic) apiComponent() Component {
	c := Component{State: ComponentOK, Summary: "It answers.", LatencySeconds: t.fiveMinutes.window(allAccounts).APISeconds}
	switch problems := t.diagnoseAPI(nil); {
	case sentToAPI(t.fiveMinutes.counts[allAccounts]) == 0:
		c.State, c.Summary = ComponentUnknown, "No request was sent to it in the last 5 minutes."
	case len(problems) > 0 && problems[0].State == BrokerDown:
		c.State, c.Summary = ComponentFailing, problems[0].Summary
	case len(problems) > 0:
		c.State, c.Summary = ComponentWarning, problems[0].Summary
	}
	return c
}
