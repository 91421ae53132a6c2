package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// collector exports the counts of requests, and what the snapshots of the tokens contain, at each scrape.
type collector struct{ *Metrics }

// Describe implements prometheus.Collector. It sends nothing, which makes this an unchecked collector: Collect creates the
// descriptions. A name that clashes with another one shows at the scrape, and in the tests.
func (collector) Describe(chan<- *prometheus.Desc) {}

// sendSeries exports one series of a metric.
type sendSeries func(value float64, labelValues ...string)

func newSeriesSender(ch chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, labels ...string) sendSeries {
	desc := prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
	return func(value float64, labelValues ...string) {
		ch <- prometheus.MustNewConstMetric(desc, kind, value, labelValues...)
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	collectTokens(ch, c.config.Tokens())
	counter := func(name, help string, labels ...string) sendSeries {
		return newSeriesSender(ch, prometheus.CounterValue, name, help, labels...)
	}
	withCaller := func(caller string, others ...string) []string {
		if c.config.HasCallers {
			return append(others, caller)
		}
		return others
	}
	requests := counter("requests_total",
		"Requests by the status that the client received, from the API or the broker. Code 499 means that the client disconnected; account -, that the broker answered before the account was known, or that the account was removed; caller -, with BROKER_CALLERS_DIR, that the caller is unknown or was removed. For an account, a rise of 401 or 403 means that the token is rejected or lacks a right; of 502 or 504, that the API cannot be reached or is too slow; of 503, that there is no token, or that the API is unavailable. A rise of 4xx for account - means that the broker refuses requests: see requests_denied_total.",
		withCaller("caller", "account", "method", "code")...)
	retries := counter("replays_total",
		"Requests that the API answered with 401 although the token had not expired, by the outcome of the retry. A rise of success means that tokens are revoked; of unauthorized, that new tokens are refused too: check the client's rights; of body_not_kept, that BROKER_REPLAY_BUFFER is too small.",
		"account", "outcome")
	c.accounts.Range(func(key, value any) bool {
		name, account := key.(string), value.(*accountCounts)
		account.requests.Range(func(caller, value any) bool {
			value.(*requestCounts).each(func(method string, status int, local, others uint64) {
				code := "other"
				if status != 0 {
					code = strconv.Itoa(status)
				}
				requests(float64(local+others), withCaller(caller.(string), name, method, code)...)
			})
			return true
		})
		for outcome, count := range account.retries {
			retries(float64(count.Load()), name, outcome)
		}
		return true
	})
	denied := counter("requests_denied_total",
		"Requests and connections that the broker refused, by reason. A rise of host or browser means that a web page tries to use the broker, or that an app uses a host name missing from BROKER_ALLOWED_HOSTS; of key, that an app has a wrong access key, or that a caller was removed; of account, that a caller asks for an account that it may not use; of rule, that an app needs more than its allow list permits; of malformed or path, that an app sends invalid HTTP, or that an attacker probes the broker; of connections, that slow clients occupy all connections.",
		withCaller("caller", "reason")...)
	dryRun := counter("requests_denied_dry_run_total",
		"Requests that the allow list does not include, and that were forwarded because BROKER_ALLOW_MODE is warn. Once the apps have done all of their work without a rise, the allow list can be enforced.",
		withCaller("caller")...)
	c.callers.Range(func(key, value any) bool {
		name, counts := key.(string), value.(*callerDenials)
		dryRun(float64(counts.dryRun.Load()), withCaller(name)...)
		for reason, count := range counts.denied {
			denied(float64(count.Load()), withCaller(name, reason)...)
		}
		return true
	})
	counter("response_fields_dropped_total",
		"Header fields and trailers of the API's responses that the broker dropped because they contained the access token. A rise means that the API, or a gateway in front of it, repeats the header of requests.")(float64(c.DroppedResponseFields()))
	passedThrough := counter("requests_passed_total",
		"Requests and tunnels that passed through to a host in BROKER_PASS_HOSTS, by outcome. They are not in requests_total. A rise of failed means that those hosts cannot be reached or send broken responses; of refused, that an app asks for addresses of this machine or of a cloud's metadata service.",
		"outcome")
	for outcome, count := range c.passedThrough {
		passedThrough(float64(count.Load()), outcome)
	}
}
