package redisstore_test

import (
	"context"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/tokensource"
)

func TestNotifiesEntriesOfOnePair(t *testing.T) {
	t.Parallel()
	s := start(t)
	proxy := newProxy(t, s, io.Discard)
	b := newBroker(t, proxy.url)
	sender := connect(t, s.url)
	var notified [3]atomic.Int32
	names := []string{"one", "two", "two"} // the same pair may be open twice
	entries := make([]tokensource.Entry, len(names))
	for i, name := range names {
		entries[i] = b.Entry(credentials(name, clientSecret), endpoint, func() { notified[i].Add(1) })
	}
	brokertest.Eventually(t, "all listen", func() bool { return notified[0].Load() > 0 && notified[1].Load() > 0 && notified[2].Load() > 0 })
	if n := proxy.accepted.Load(); n != 1 {
		t.Errorf("got %d connections, want 1", n)
	}
	counts := func() [3]int32 { return [3]int32{notified[0].Load(), notified[1].Load(), notified[2].Load()} }
	announce := func(name string) {
		t.Helper()
		e := sender.Entry(credentials(name, clientSecret), endpoint, func() {})
		defer e.Close()
		put(t, e, newToken(lead(t, e, time.Minute)))
	}
	before := counts()
	announce("two")
	brokertest.Eventually(t, "both entries of two are notified", func() bool { return notified[1].Load() > before[1] && notified[2].Load() > before[2] })
	if after := counts(); after[0] != before[0] {
		t.Error("one was notified of the token of two")
	}

	entries[1].Close()
	before = counts()
	announce("two")
	brokertest.Eventually(t, "the open entry is notified", func() bool { return notified[2].Load() > before[2] })
	if after := counts(); after[1] != before[1] {
		t.Error("an entry was notified after Close")
	}
}

// After its connection has broken, a broker listens again, and all entries are notified, because they have missed messages.
func TestListensAgain(t *testing.T) {
	t.Parallel()
	for name, interrupt := range map[string]func(s *server, p *proxy){
		"dropped":   func(_ *server, p *proxy) { p.drop() },
		"killed":    func(s *server, _ *proxy) { s.do("CLIENT", "KILL", "TYPE", "pubsub") },
		"restarted": func(s *server, _ *proxy) { s.kill(); s.run() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			proxy := newProxy(t, s, io.Discard)
			b := newBroker(t, proxy.url)
			var notified atomic.Int32
			e := b.Entry(credentials(clientID, clientSecret), endpoint, func() { notified.Add(1) })
			brokertest.Eventually(t, "it listens", func() bool { return notified.Load() > 0 })
			before := notified.Load()
			interrupt(s, proxy)
			brokertest.Eventually(t, "it listens again", func() bool { return notified.Load() > before })
			before = notified.Load()
			other := newBroker(t, s.url).entry()
			put(t, other, newToken(lead(t, other, time.Minute)))
			brokertest.Eventually(t, "it is notified", func() bool { return notified.Load() > before })
			if get(t, e).Token.FencingToken == 0 {
				t.Error("got no token, want the one that was stored")
			}
			if problems := b.problems.all(); b.Problem() != "" || len(problems) > 2 || len(problems) > 0 && (problems[0] == "" || problems[1] != "") {
				t.Errorf("got the problems %q and %q at the end, want at most one, and its end", problems, b.Problem())
			}
		})
	}
}

// goroutines counts those of this package and of redigo, except those of tests.
func goroutines() (count int, stacks string) {
	buffer := make([]byte, 4<<20)
	for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		if strings.Contains(stack, "tokensource/redisstore.") || strings.Contains(stack, "gomodule/redigo") && !strings.Contains(stack, "redisstore_test.") {
			count++
			stacks += stack + "\n\n"
		}
	}
	return count, stacks
}

// TestLeavesNoGoroutines is not parallel, because it would count the goroutines of other tests.
func TestLeavesNoGoroutines(t *testing.T) {
	s := start(t)
	hanging := brokertest.ServeRaw(t, invalidStores["hangs"])
	http := brokertest.ServeRaw(t, invalidStores["HTTP"])
	before, _ := goroutines()
	var all sync.WaitGroup
	for _, url := range []string{
		s.url, "redis://" + hanging, "rediss://" + hanging, "redis://" + http, "redis://127.0.0.1:1", "unix:///nowhere",
		"redis://" + hanging + "?addr=127.0.0.1:1", "redis://" + hanging + "?master_name=shop",
	} {
		b := newBroker(t, url)
		all.Go(func() {
			var gets sync.WaitGroup
			for range 3 {
				e := b.entry()
				gets.Go(func() { _, _ = e.Get(context.Background()) })
			}
			gets.Wait()
			b.end()
		})
	}
	all.Wait()
	brokertest.Eventually(t, "no goroutine is left", func() bool { now, _ := goroutines(); return now <= before })

	// Run ends while others still use the store.
	b := newBroker(t, s.url)
	for range 4 {
		e := b.entry()
		all.Go(func() {
			for range 50 {
				_, _ = e.Get(context.Background())
			}
		})
	}
	b.end()
	all.Wait()
	if _, err := b.entry().Get(context.Background()); err == nil || b.Problem() != "" {
		t.Errorf("after the end: got %v and the problem %q, want an error and no problem", err, b.Problem())
	}
	brokertest.Eventually(t, "no goroutine is left after the end", func() bool { now, _ := goroutines(); return now <= before })
}

// Entries are opened and closed while others are notified.
func TestEntriesComeAndGo(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := newBroker(t, s.url)
	var notified atomic.Int32
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 50 {
				e := b.Entry(credentials(string(rune('a'+i%2)), clientSecret), endpoint, func() { notified.Add(1) })
				_ = e.Put(context.Background(), newToken(time.Now().UnixMicro()))
				e.Close()
			}
		})
	}
	all.Wait()
	last := b.Entry(credentials("last", clientSecret), endpoint, func() { notified.Add(1_000_000) })
	defer last.Close()
	put(t, last, newToken(lead(t, last, time.Minute)))
	brokertest.Eventually(t, "the last one is notified", func() bool { return notified.Load() >= 1_000_000 })
}

func TestSelfTest(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := newBroker(t, s.url).SelfTest(context.Background()); err != nil {
		t.Error(err)
	}
	brokertest.Eventually(t, "the self-test leaves nothing in the store", func() bool { return len(s.keys("")) == 0 })
	if err := newBroker(t, "redis://127.0.0.1:1").SelfTest(context.Background()); err == nil || err.Error() != "refused the connection" {
		t.Errorf("got %v, want the cause", err)
	}
}
