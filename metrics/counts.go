package metrics

import (
	"cmp"
	"sync/atomic"

	dto "github.com/prometheus/client_model/go"
)

// methodLabels has the values of the label method, the last one for all others: a method may be any token, and each would be a
// series for ever.
var methodLabels = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "other"}

// methodStatusCounts counts requests by method and status. It allocates 800 bytes for each class of status that a method has had.
type methodStatusCounts [len(methodLabels)][6]atomic.Pointer[[100]atomic.Uint64]

// add counts a request. A number that is no HTTP status code counts as 0.
func (c *methodStatusCounts) add(method string, status int) {
	if status < 100 || status > 599 {
		status = 0
	}
	row := 0
	for row < len(methodLabels)-1 && methodLabels[row] != method {
		row++
	}
	class := &c[row][status/100]
	if class.Load() == nil {
		class.CompareAndSwap(nil, new([100]atomic.Uint64)) // another goroutine may be first
	}
	class.Load()[status%100].Add(1)
}

// requestCounts has the counts of one caller's requests with one account.
type requestCounts struct {
	local, others methodStatusCounts // answered by the broker; answered by the API, or not at all
}

// each calls visit for each method and status with at least one request.
func (r *requestCounts) each(visit func(method string, status int, local, others uint64)) {
	none := new([100]atomic.Uint64)
	for row, method := range methodLabels {
		for class := range r.local[row] {
			local, others := r.local[row][class].Load(), r.others[row][class].Load()
			if local == nil && others == nil {
				continue
			}
			local, others = cmp.Or(local, none), cmp.Or(others, none)
			for i := range none {
				if l, o := local[i].Load(), others[i].Load(); l+o > 0 {
					visit(method, class*100+i, l, o)
				}
			}
		}
	}
}

// Counter is the index of a value in Counts.
type Counter int

// The counters. Each request is counted by one of the first five.
const (
	CountSuccess          Counter = iota // 1xx and 2xx
	CountRedirect                        // 3xx
	CountClientError                     // 4xx without 499
	CountServerError                     // 5xx, and numbers that are no status
	CountClientClosed                    // 499
	CountLocal                           // answered by the broker
	CountLocal4xx                        // answered by the broker with 4xx
	CountUpstream401Or403                // answered by the API with 401 or 403
	CountUpstream429                     // answered by the API with 429
	// CountUpstream5xxOrNoAnswer counts how many of CountRequestsSentUpstream the API answered with 5xx, or not at all.
	CountUpstream5xxOrNoAnswer
	CountRequestsSentUpstream // sent to the API
	CountUpstreamNanoseconds  // the sum of the times that they took
	numCounters
)

// Counts has the value of each Counter.
type Counts [numCounters]uint64

// Requests returns the number of requests.
func (c Counts) Requests() uint64 {
	return c[CountSuccess] + c[CountRedirect] + c[CountClientError] + c[CountServerError] + c[CountClientClosed]
}

// Plus returns the sums of both.
func (c Counts) Plus(other Counts) Counts {
	for i := range c {
		c[i] += other[i]
	}
	return c
}

// Minus returns what was counted since before. Counts that have become smaller belong to an account that was removed and
// added again; they result in 0.
func (c Counts) Minus(before Counts) Counts {
	for i := range c {
		c[i] -= min(before[i], c[i])
	}
	return c
}

// Counts returns the counts of each account, NoAccount included.
func (m *Metrics) Counts() map[string]Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]Counts{}
	m.accounts.Range(func(name, value any) bool {
		all[name.(string)] = value.(*accountCounts).counts()
		return true
	})
	return all
}

func (a *accountCounts) counts() Counts {
	c := a.removed
	a.requests.Range(func(_, value any) bool {
		c = c.Plus(value.(*requestCounts).counts())
		return true
	})
	var upstream dto.Metric
	if err := a.upstream.Write(&upstream); err != nil {
		panic(err) // impossible: its buckets are constant
	}
	c[CountRequestsSentUpstream] = upstream.GetHistogram().GetSampleCount()
	c[CountUpstreamNanoseconds] = uint64(upstream.GetHistogram().GetSampleSum() * 1e9)
	return c
}

// counts returns what the requests are counted by, except the time that the API took.
func (r *requestCounts) counts() (c Counts) {
	r.each(func(_ string, status int, local, others uint64) {
		c[statusClass(status)] += local + others
		c[CountLocal] += local
		switch {
		case status == 401 || status == 403:
			c[CountUpstream401Or403] += others
		case status == 429:
			c[CountUpstream429] += others
		case status >= 500:
			c[CountUpstream5xxOrNoAnswer] += others
		}
		switch {
		case status >= 400 && status < 500:
			c[CountLocal4xx] += local
		case status == 502 || status == 504:
			c[CountUpstream5xxOrNoAnswer] += local
		}
	})
	return c
}

func statusClass(status int) Counter {
	switch {
	case status == 499:
		return CountClientClosed
	case status >= 500 || status == 0:
		return CountServerError
	case status >= 400:
		return CountClientError
	case status >= 300:
		return CountRedirect
	default:
		return CountSuccess
	}
}
