package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	requestsHelp = "Requests by the status that the client received, from the API or the broker. Code 499 means that the client disconnected; account -, that the broker answered before the account was known, or that the account was removed; caller -, with BROKER_CALLERS_DIR, that the caller is unknown or was removed. For an account, a rise of 401 or 403 means that the token is rejected or lacks a right; of 502 or 504, that the API cannot be reached or is too slow; of 503, that there is no token, or that the API is unavailable. A rise of 4xx for account - means that the broker refuses requests: see requests_denied_total."
	deniedHelp   = "Requests and connections that the broker refused, by reason. A rise of host or browser means that a web page tries to use the broker, or that an app uses a host name missing from BROKER_ALLOWED_HOSTS; of key, that an app has a wrong access key, or that a caller was removed; of account, that a caller asks for an account that it may not use; of rule, that an app needs more than its allow list permits; of malformed or path, that an app sends invalid HTTP, or that an attacker probes the broker; of connections, that slow clients occupy all connections."
	dryRunHelp   = "Requests that the allow list does not include, and that were forwarded because BROKER_ALLOW_MODE is warn. Once the apps have done all of their work without a rise, the allow list can be enforced."
)

var (
	requestsDesc = newDesc("requests_total", requestsHelp, "account", "method", "code")
	// With BROKER_CALLERS_DIR.
	callerRequestsDesc = newDesc("requests_total", requestsHelp, "account", "method", "code", "caller")
	callerDeniedDesc   = newDesc("requests_denied_total", deniedHelp, "reason", "caller")
	callerDryRunDesc   = newDesc("requests_denied_dry_run_total", dryRunHelp, "caller")
	retriesDesc        = newDesc("replays_total",
		"Requests that the API answered with 401 although the token had not expired, by the outcome of the retry. A rise of success means that tokens are revoked; of unauthorized, that new tokens are refused too: check the client's rights; of body_not_kept, that BROKER_REPLAY_BUFFER is too small.",
		"account", "outcome")
	deniedDesc      = newDesc("requests_denied_total", deniedHelp, "reason")
	dryRunDesc      = newDesc("requests_denied_dry_run_total", dryRunHelp)
	tokenFieldsDesc = newDesc("response_fields_dropped_total",
		"Header fields and trailers of the API's responses that the broker dropped because they contained the access token. A rise means that the API, or a gateway in front of it, repeats the header of requests.")
	passedDesc = newDesc("requests_passed_total",
		"Requests and tunnels that passed through to a host in BROKER_PASS_HOSTS, by outcome. They are not in requests_total. A rise of failed means that those hosts cannot be reached or send broken responses; of refused, that an app asks for addresses of this machine or of a cloud's metadata service.",
		"outcome")
)

// requestCollector exports the counts of requests.
type requestCollector struct {
	*Metrics
	requests, denied, dryRun *prometheus.Desc
}

func newRequestCollector(m *Metrics) requestCollector {
	if m.hasCallers {
		return requestCollector{m, callerRequestsDesc, callerDeniedDesc, callerDryRunDesc}
	}
	return requestCollector{m, requestsDesc, deniedDesc, dryRunDesc}
}

// Describe implements prometheus.Collector.
func (c requestCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.requests, c.denied, c.dryRun, tokenFieldsDesc, retriesDesc, passedDesc} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c requestCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(desc *prometheus.Desc, count uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(count), labels...)
	}
	sendOf := func(caller string, desc *prometheus.Desc, count uint64, labels ...string) {
		if c.hasCallers {
			labels = append(labels, caller)
		}
		send(desc, count, labels...)
	}
	c.accounts.Range(func(key, value any) bool {
		name, a := key.(string), value.(*account)
		a.byLabels(func(caller, method string, status int, count uint64) {
			sendOf(caller, c.requests, count, name, method, codeLabel(status))
		})
		for outcome, count := range c.Retries(name) {
			send(retriesDesc, count, name, outcome)
		}
		return true
	})
	c.callers.Range(func(key, value any) bool {
		name, counts := key.(string), value.(*callerCounts)
		sendOf(name, c.dryRun, counts.dryRun.Load())
		for reason, counter := range counts.denied {
			sendOf(name, c.denied, counter.Load(), reason)
		}
		return true
	})
	send(tokenFieldsDesc, c.DroppedFields())
	for outcome, counter := range c.passed {
		send(passedDesc, counter.Load(), outcome)
	}
}

// requestLabels are the labels of a series of requests_total, without account and caller.
type requestLabels struct {
	method string
	status int
}

// byLabels calls visit with the value of each series: responses from the API or the broker.
func (a *account) byLabels(visit func(caller, method string, status int, count uint64)) {
	a.requests.Range(func(caller, value any) bool {
		all := map[requestLabels]uint64{}
		sum := func(method string, status int, count uint64) { all[requestLabels{method, status}] += count }
		value.(*requestCounts).local.each(sum)
		value.(*requestCounts).others.each(sum)
		for labels, count := range all {
			visit(caller.(string), labels.method, labels.status, count)
		}
		return true
	})
}

// codeLabel returns "other" for 0, which stands for all numbers that are no HTTP status code.
func codeLabel(status int) string {
	if status == 0 {
		return "other"
	}
	return strconv.Itoa(status)
}
