package tokensource_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
)

// A token that the API refuses is no valid token, however long it would live: after an outage it is replaced as soon as one that has
// expired.
func TestRefusedTokenIsReplacedSoonAfterAnOutage(t *testing.T) {
	for _, retryAfter := range []int{0, 120} {
		for _, lasts := range []time.Duration{5 * time.Second, 25 * time.Second, 100 * time.Second} {
			for revoked := time.Duration(0); revoked < lasts; revoked += lasts / 3 {
				t.Run(fmt.Sprintf("%v, revoked after %v, Retry-After %d", lasts, revoked, retryAfter), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						r := newRig(t, fakeetrusted.Options{Lifetime: 300 * time.Second})
						r.at(time.Minute)
						refused, _, _ := r.Current()
						r.server.SetTokenFault(fakeetrusted.Status(503, http.Header{"Retry-After": {strconv.Itoa(retryAfter)}}))
						if revoked > 0 { // the outage has been noticed
							r.at(242 * time.Second)
						}
						began := time.Now()
						for time.Since(began) < lasts || func() bool { sent, _, _ := r.Current(); return sent == refused }() {
							if time.Since(began) >= revoked {
								r.Invalidate(refused) // as each request does that gets 401
							}
							if time.Since(began) >= lasts {
								r.server.SetTokenFault(nil)
							}
							limit := 2500 * time.Millisecond
							if lasts-revoked >= 30*time.Second {
								limit = 5500 * time.Millisecond
							}
							if took := time.Since(began) - lasts; took > limit {
								t.Fatalf("the refused token is sent %v after the outage, want at most %v", took, limit)
							}
							time.Sleep(100 * time.Millisecond)
						}
					})
				})
			}
		}
	}
}

// One request that gets 401 is enough: the next one may come half a minute later.
func TestOne401InOutageMakesTokenNeeded(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, fakeetrusted.Options{Lifetime: time.Hour})
			r.at(time.Minute)
			r.server.SetTokenFault(fakeetrusted.Status(503, nil))
			r.at(53 * time.Minute) // the pauses last up to 30 s
			refused, _, _ := r.Current()
			r.Invalidate(refused)
			r.at(53*time.Minute + time.Second)
			r.server.SetTokenFault(nil)
			r.at(53*time.Minute + 3500*time.Millisecond)
			if sent, _, _ := r.Current(); sent == refused {
				t.Error("the refused token is sent 2.5 s after the outage, want another")
			}
		})
	}
}
