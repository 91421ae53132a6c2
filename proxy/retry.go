package proxy

// RetryOutcome is the outcome of a request that the API answered with 401: a closed set, used as the label of a metric.
type RetryOutcome string

// The outcomes of a 401 to a token that can be replaced.
const (
	RetrySuccess      RetryOutcome = "success"      // sent again, and answered with anything but 401
	RetryUnauthorized RetryOutcome = "unauthorized" // sent again, and answered with 401
	RetryFailed       RetryOutcome = "failed"       // sent again, and not answered
	RetryBodyNotKept  RetryOutcome = "body_not_kept"
	RetryNoToken      RetryOutcome = "no_token" // there was no newer token in time
)

// RetryOutcomes lists all outcomes.
var RetryOutcomes = [...]RetryOutcome{RetrySuccess, RetryUnauthorized, RetryFailed, RetryBodyNotKept, RetryNoToken}

// Sent reports whether the request was sent a second time.
func (o RetryOutcome) Sent() bool {
	return o == RetrySuccess || o == RetryUnauthorized || o == RetryFailed
}
