package tokensource_test

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func TestMain(m *testing.M) { os.Exit(brokertest.Main(m)) }

func TestTokenRequestHasCredentialsAndAudience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.at(time.Second)
		request := r.server.TokenRequests()[0]
		want := map[string]string{
			"grant_type":    "client_credentials",
			"client_id":     fakeetrusted.DefaultClientID,
			"client_secret": fakeetrusted.DefaultClientSecret,
			"audience":      "https://api.etrusted.com",
		}
		if len(request.Form) != len(want) {
			t.Errorf("the form has %d fields, want %d", len(request.Form), len(want))
		}
		for field, value := range want {
			if got := request.Form[field]; !slices.Equal(got, []string{value}) {
				t.Errorf("%s = %q, want %q", field, got, value)
			}
		}
		if request.Header.Get("Authorization") != "" || request.RequestURI != "/oauth/token" {
			t.Errorf("Authorization %q, target %s; want the credentials only in the body", request.Header.Get("Authorization"), request.RequestURI)
		}
		if request.Header.Get("User-Agent") != "etrusted-broker/test" || request.Header.Get("Accept") != "application/json" {
			t.Errorf("header %v", request.Header)
		}
		value, _, ok := r.Current()
		if tokens := r.server.Tokens(); !ok || value != "Bearer "+tokens[0] {
			t.Errorf("Current = %q, %v, want the issued token", value, ok)
		}
	})
}

func TestSendsScopesIfConfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{}, func(config *tokensource.Config) { config.Endpoint.Scopes = []string{"a", "b"} })
		r.at(time.Second)
		if got := r.server.TokenRequests()[0].Form["scope"]; !slices.Equal(got, []string{"a b"}) {
			t.Errorf("scope = %q, want \"a b\"", got)
		}
	})
}

// Only the first request waits, and there is one token request per refresh interval.
func TestRefreshesAheadOfNeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: 6 * time.Second})
		r.server.SetTokenDelay(time.Second)
		if took, err := r.wait(10 * time.Second); err != nil || took != time.Second {
			t.Fatalf("first request waited %v (%v), want 1s", took, err)
		}
		for time.Since(r.began) < 20*time.Second {
			if _, _, ok := r.Current(); !ok {
				t.Fatalf("no token after %v", time.Since(r.began))
			}
			time.Sleep(10 * time.Millisecond)
		}
		// Each is due 4.2 to 4.8 s after the previous one.
		if n := r.server.TokenRequestCount(); n != 5 {
			t.Errorf("%d token requests in 20 s, want 5", n)
		}
		requests := r.server.TokenRequests()
		for i := 1; i < len(requests); i++ {
			if gap := requests[i].At.Sub(requests[i-1].At); gap < 4200*time.Millisecond || gap > 4800*time.Millisecond {
				t.Errorf("request %d came %v after the previous one", i, gap)
			}
		}
		if waits := r.Snapshot().RequestsWaited; waits != 1 {
			t.Errorf("%d requests waited, want only the first", waits)
		}
	})
}

func TestNeverFollowsRedirect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenFault(fakeetrusted.Redirect(307, "http://elsewhere.example/stolen"))
		r.at(500 * time.Millisecond)
		if n := r.server.TokenRequestCount() + r.server.APIRequestCount(); n != 1 { // every host leads to the fake
			t.Errorf("%d requests, want 1", n)
		}
		if event := r.last(); event.Outcome != tokensource.OutcomeInvalidResponse {
			t.Errorf("outcome %s, want %s", event.Outcome, tokensource.OutcomeInvalidResponse)
		}
	})
}

func TestOneSecondTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: time.Second})
		r.at(time.Millisecond)
		for time.Since(r.began) < 30*time.Second {
			if _, _, ok := r.Current(); !ok {
				t.Fatalf("no token after %v", time.Since(r.began))
			}
			time.Sleep(7 * time.Millisecond)
		}
		if n := r.server.TokenRequestCount(); n < 37 || n > 44 {
			t.Errorf("%d requests in 30 s, want one in 0.7 to 0.8 s", n)
		}
	})
}

func TestOnlyRunFetches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenDelay(3 * time.Second)
		var waiters sync.WaitGroup
		for range 50 {
			waiters.Go(func() {
				if took, err := r.wait(time.Minute); err != nil || took != 3*time.Second {
					t.Errorf("waited %v: %v", took, err)
				}
			})
		}
		// A request that is cancelled does not cancel the others.
		if took, err := r.wait(time.Second); took != time.Second || isRejected(noToken(t, err)) {
			t.Errorf("waited %v: %v", took, err)
		}
		waiters.Wait()
		if n := r.server.TokenRequestCount(); n != 1 {
			t.Errorf("%d token requests for 51 waiting requests, want 1", n)
		}
		if waits := r.Snapshot().RequestsWaited; waits != 51 {
			t.Errorf("%d requests waited, want 51", waits)
		}
	})
}

// A request whose client gives up at once needs a token as well: the next one does not wait for long.
func TestEndedRequestCountsAndShortensPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenFault(fakeetrusted.Status(503, nil))
		pause := func() time.Duration {
			snapshot := r.Snapshot()
			return snapshot.NextAttempt.Sub(snapshot.LastFailureAt)
		}
		for r.at(time.Minute); pause() <= 5*time.Second; {
			r.at(time.Since(r.began) + time.Second)
		}
		if took, err := r.wait(0); took != 0 {
			t.Errorf("waited %v: %v, want an error at once", took, err)
		}
		synctest.Wait()
		if got, waits := pause(), r.Snapshot().RequestsWaited; got > 5*time.Second || waits != 1 {
			t.Errorf("got a pause of %v and %d requests that waited, want at most 5 s and 1", got, waits)
		}
	})
}

func TestStopEndsFetchAndWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenFault(fakeetrusted.Hang())
		waiting := make(chan error)
		go func() {
			_, err := r.wait(time.Hour)
			waiting <- err
		}()
		r.at(time.Second)
		r.stop()
		if took := time.Since(r.began); took != time.Second {
			t.Errorf("Run ended after %v, want 1s", took)
		}
		none := noToken(t, <-waiting)
		if took := time.Since(r.began); took != time.Second {
			t.Errorf("Wait ended after %v, want 1s", took)
		}
		if !strings.Contains(none.Error(), "shutting down") {
			t.Errorf("error %q, want it to say that the broker is shutting down", none)
		}
		if took, err := r.wait(time.Hour); err == nil || took != 0 {
			t.Errorf("Wait took %v: %v, want an error at once", took, err)
		}
		if len(r.outcomes()) != 0 {
			t.Errorf("outcomes %v, want none for a cancelled request", r.outcomes())
		}
	})
}

// Requests in flight still need the last token.
func TestStopKeepsToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.at(time.Second)
		r.stop()
		if _, _, ok := r.Current(); !ok {
			t.Error("Current returns no token after the stop")
		}
	})
}

func TestSnapshotAndEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{Lifetime: 100 * time.Second})
		r.server.SetTokenDelay(2 * time.Second)
		if empty := r.Snapshot(); empty.Valid || !empty.Expires.IsZero() || !empty.LastSuccess.IsZero() {
			t.Errorf("before the first token: %+v", empty)
		}
		r.at(10 * time.Second)
		snapshot := r.Snapshot()
		if !snapshot.Valid || snapshot.Account != "default" || snapshot.Remaining != 90*time.Second ||
			!snapshot.Issued.Equal(r.began) || !snapshot.Expires.Equal(r.began.Add(100*time.Second)) ||
			!snapshot.LastSuccess.Equal(r.began.Add(2*time.Second)) || snapshot.LastDuration != 2*time.Second ||
			snapshot.Refreshes != [4]uint64{1, 0, 0, 0} || snapshot.LastFailure != nil {
			t.Errorf("snapshot %+v", snapshot)
		}
		event := r.last()
		if event.Duration != 2*time.Second || event.Remaining != 98*time.Second || !snapshot.NextAttempt.Equal(r.began.Add(2*time.Second+event.Next)) {
			t.Errorf("event %+v", event)
		}
		r.server.SetTokenFault(fakeetrusted.Status(503, nil))
		r.at(85 * time.Second)
		snapshot = r.Snapshot()
		if snapshot.ConsecutiveFailures == 0 || snapshot.LastFailure == nil || snapshot.LastFailureAt.IsZero() || snapshot.Refreshes[2] == 0 || !snapshot.Valid {
			t.Errorf("snapshot %+v", snapshot)
		}
		if event := r.last(); event.Remaining <= 0 || event.ConsecutiveFailures != snapshot.ConsecutiveFailures {
			t.Errorf("event %+v", event)
		}
	})
}

func TestCurrentDoesNotAllocate(t *testing.T) {
	source := running(t)
	if n := testing.AllocsPerRun(1000, func() { source.Current() }); n != 0 {
		t.Errorf("Current allocates %v times", n)
	}
}

func BenchmarkCurrent(b *testing.B) {
	source := running(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			source.Current()
		}
	})
}

// running returns a source with a token, in real time.
func running(t testing.TB) *tokensource.Source {
	t.Helper()
	r := newRunner(t, tokensource.Config{
		Credentials: fixed("id", "secret"),
		Endpoint:    tokensource.TokenEndpoint{URL: "http://login.example/", Transport: always(`{"access_token":"abc","expires_in":300}`)},
	})
	if _, err := r.wait(brokertest.Timeout); err != nil {
		t.Fatal(err)
	}
	return r.Source
}
