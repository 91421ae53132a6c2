package stats_test

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/stats"
	"etrusted-broker/tokensource"
)

func newRecorder() *stats.Recorder {
	return stats.New([]string{"host", "key"}, []string{"success", "failed"})
}

// running runs a Recorder until the test ends.
func running(t *testing.T) *stats.Recorder {
	t.Helper()
	recorder := newRecorder()
	ctx, cancel := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	loop.Go(func() { recorder.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		loop.Wait()
	})
	return recorder
}

func TestCountsByStatusClass(t *testing.T) {
	t.Parallel()
	recorder := newRecorder()
	for _, status := range []int{200, 204, 101, 301, 304, 400, 404, 418, 498, 499, 499, 500, 503, 599} {
		recorder.Observe(stats.Request{Account: "default", Status: status})
	}
	recorder.Observe(stats.Request{Account: "default", Status: 502, Local: true})
	recorder.Observe(stats.Request{Account: "default", Status: 200, UpstreamTime: 3 * time.Second})
	recorder.Observe(stats.Request{Account: "default", Status: 200, UpstreamTime: time.Second})
	recorder.Observe(stats.Request{Account: "default", Status: 504, UpstreamTime: time.Second, Local: true})
	recorder.Observe(stats.Request{Account: "default", Status: 499, UpstreamTime: time.Second})
	recorder.Observe(stats.Request{Account: "other", Status: 200})
	want := stats.Counts{
		stats.Success: 5, stats.Redirect: 2, stats.ClientError: 4, stats.ServerError: 5, stats.ClientClosed: 3,
		stats.Local: 2, stats.UpstreamRequests: 4, stats.UpstreamErrors: 1, stats.UpstreamNanoseconds: 6e9,
	}
	if got := recorder.Snapshot().Accounts["default"].Total; got != want || got.All() != 19 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := recorder.Snapshot().Accounts["other"].Total; got != (stats.Counts{stats.Success: 1}) {
		t.Errorf("the other account: %+v", got)
	}
}

func TestCountsDenialsAndReplays(t *testing.T) {
	t.Parallel()
	recorder := newRecorder()
	if got := recorder.Snapshot(); !reflect.DeepEqual(got.Denied, map[string]uint64{"host": 0, "key": 0}) || len(got.Accounts) != 0 {
		t.Errorf("from the start: %+v", got)
	}
	recorder.Observe(stats.Request{Account: "-", Status: 421, Denied: "host"})
	recorder.ObserveDenied("host")
	for _, unknown := range []string{"", "nonsense"} { // would grow without bound
		recorder.Observe(stats.Request{Account: "default", Status: 200, Denied: unknown, Replay: unknown})
		recorder.ObserveDenied(unknown)
	}
	recorder.Observe(stats.Request{Account: "default", Status: 200, Replay: "success"})
	got := recorder.Snapshot()
	if !reflect.DeepEqual(got.Denied, map[string]uint64{"host": 2, "key": 0}) {
		t.Errorf("denied: %v", got.Denied)
	}
	if replays := got.Accounts["default"].Replays; !reflect.DeepEqual(replays, map[string]uint64{"success": 1, "failed": 0}) {
		t.Errorf("replays: %v", replays)
	}
	if replays := got.Accounts["-"].Replays; !reflect.DeepEqual(replays, map[string]uint64{"success": 0, "failed": 0}) {
		t.Errorf("replays of the others: %v", replays)
	}
}

// TestWindows sends ten requests per second for four minutes, then none.
func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := running(t)
		window := func(get func(stats.Account) stats.Window) string {
			w := get(recorder.Snapshot().Accounts["default"])
			all := w.All()
			if w.Counts[stats.Success]*10 != all*9 || w.Counts[stats.UpstreamErrors]*10 != all || w.Counts[stats.UpstreamRequests] != all || w.Counts[stats.UpstreamNanoseconds] != all*1e6 {
				t.Errorf("does not add up: %+v", w)
			}
			return fmt.Sprint(all, " in ", w.Span)
		}
		short := func(a stats.Account) stats.Window { return a.LastMinute }
		long := func(a stats.Account) stats.Window { return a.LastFiveMinutes }
		load := func(seconds int) {
			for range seconds {
				for i := range 10 {
					status := 200
					if i == 0 {
						status = 502
					}
					recorder.Observe(stats.Request{Account: "default", Status: status, UpstreamTime: time.Millisecond})
				}
				time.Sleep(time.Second)
			}
		}
		time.Sleep(3500 * time.Millisecond) // so that samples coincide neither with the account's creation nor with a request
		for _, step := range []struct {
			load, rest  int // seconds
			short, long string
		}{
			{30, 0, "300 in 30s", "300 in 30s"},
			{210, 0, "630 in 1m3.5s", "2400 in 4m0s"}, // up to the sample that is at least a minute old
			{0, 54, "130 in 1m7.5s", "2400 in 4m54s"},
			{0, 10, "30 in 1m7.5s", "2400 in 5m4s"}, // the first is as old as that
			{0, 250, "0 in 1m7.5s", "0 in 5m7.5s"},
		} {
			load(step.load)
			time.Sleep(time.Duration(step.rest) * time.Second)
			if got := window(short); got != step.short {
				t.Errorf("after %+v: the last minute %s", step, got)
			}
			if got := window(long); got != step.long {
				t.Errorf("after %+v: the last five %s", step, got)
			}
		}
		if got := recorder.Snapshot().Accounts["default"].Total.All(); got != 2400 {
			t.Errorf("got %d in all, want 2400", got)
		}
	})
}

func TestLastHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the bubble's clock starts at a whole minute
		recorder := newRecorder()
		at := time.Now().UTC().Round(0)
		fetched := func(outcome tokensource.Outcome, took time.Duration) {
			recorder.ObserveRefresh(tokensource.RefreshEvent{Account: "default", Outcome: outcome, Duration: took})
		}
		fetched(tokensource.OutcomeSuccess, time.Second)
		time.Sleep(30 * time.Second)
		fetched(tokensource.OutcomeRejected, 3*time.Second)
		fetched(tokensource.OutcomeUnavailable, 2*time.Second)
		time.Sleep(30 * time.Second)
		fetched(tokensource.OutcomeInvalidResponse, time.Second)
		time.Sleep(10 * time.Minute)
		fetched(tokensource.OutcomeSuccess, time.Second)
		want := []stats.Minute{
			{Start: at, Success: 1, Rejected: 1, Unavailable: 1, SlowestSeconds: 3},
			{Start: at.Add(time.Minute), InvalidResponse: 1, SlowestSeconds: 1},
			{Start: at.Add(11 * time.Minute), Success: 1, SlowestSeconds: 1},
		}
		check := func(want []stats.Minute) {
			t.Helper()
			got := recorder.Snapshot().Accounts["default"].Refreshes
			if len(got) != len(want) {
				t.Fatalf("%+v, want %+v", got, want)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("got %+v, want %+v", got[i], want[i])
				}
			}
		}
		check(want)
		time.Sleep(49*time.Minute - time.Nanosecond)
		check(want)
		time.Sleep(time.Nanosecond) // an hour after the first minute
		check(want[1:])
		time.Sleep(time.Hour)
		check(nil)
		for range 24 * 60 {
			fetched(tokensource.OutcomeSuccess, time.Second)
			time.Sleep(time.Minute)
		}
		if n := len(recorder.Snapshot().Accounts["default"].Refreshes); n != 59 {
			t.Errorf("got %d minutes, want 59", n)
		}
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	recorder := newRecorder()
	for _, account := range []string{"removed", "stays"} {
		recorder.Observe(stats.Request{Account: account, Status: 200})
	}
	recorder.Delete("removed")
	recorder.Delete("never there")
	accounts := recorder.Snapshot().Accounts
	if _, there := accounts["removed"]; there || len(accounts) != 1 {
		t.Errorf("%v", accounts)
	}
	recorder.Observe(stats.Request{Account: "removed", Status: 200})
	if got := recorder.Snapshot().Accounts["removed"].Total.All(); got != 1 {
		t.Errorf("after the account returned: got %d requests, want 1", got)
	}
}

// TestConcurrentUse: no count is lost, and every snapshot adds up.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	recorder := newRecorder()
	const goroutines, rounds = 8, 500
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			for range rounds {
				recorder.Observe(stats.Request{Account: "default", Status: 200 + 100*(i%4), UpstreamTime: 1, Denied: "key", Replay: "failed"})
				recorder.ObserveRefresh(tokensource.RefreshEvent{Account: "default", Outcome: tokensource.OutcomeSuccess})
				got := recorder.Snapshot().Accounts["default"].Total
				if got[stats.UpstreamErrors] > got[stats.UpstreamRequests] {
					t.Errorf("more errors than requests: %+v", got)
				}
			}
		})
	}
	all.Wait()
	got := recorder.Snapshot()
	account := got.Accounts["default"]
	fetched := uint64(0)
	for _, minute := range account.Refreshes {
		fetched += minute.Success
	}
	const want = goroutines * rounds
	if account.Total.All() != want || account.Replays["failed"] != want || got.Denied["key"] != want || fetched != want {
		t.Errorf("got %+v, want %d of each", got, want)
	}
}

// TestRequestDoesNotAllocate is not parallel: AllocsPerRun counts the allocations of other tests too.
func TestRequestDoesNotAllocate(t *testing.T) {
	recorder := newRecorder()
	request := stats.Request{Account: "default", Status: 200, UpstreamTime: time.Millisecond, Replay: "success"}
	if allocations := testing.AllocsPerRun(1000, func() { recorder.Observe(request) }); allocations != 0 {
		t.Errorf("got %v allocations, want 0", allocations)
	}
}

func BenchmarkRequest(b *testing.B) {
	recorder := newRecorder()
	request := stats.Request{Account: "default", Status: 200, UpstreamTime: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		recorder.Observe(request)
	}
}
