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

	"etrusted-broker/tokensource"
)

func TestTwoAccountsOnOneConnection(t *testing.T) {
	t.Parallel()
	s := start(t)
	proxy := newProxy(t, s.network, s.address, io.Discard)
	b := newBroker(t, proxy.url())
	putter := connect(t, s.url)
	var told [3]atomic.Int32
	names := []string{"one", "two", "two"} // the same pair may be open twice
	places := make([]tokensource.Entry, len(names))
	for i, name := range names {
		places[i] = b.Entry(credentials(name, clientSecret), endpoint, func() { told[i].Add(1) })
	}
	eventually(t, "all listen", func() bool { return told[0].Load() > 0 && told[1].Load() > 0 && told[2].Load() > 0 })
	if n := proxy.accepted.Load(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
	tell := func(name string) {
		t.Helper()
		place := putter.Entry(credentials(name, clientSecret), endpoint, func() {})
		defer place.Close()
		put(t, place, newToken(lead(t, place, tokensource.Known{FencingToken: 1, Remaining: time.Hour}, time.Minute)))
	}
	before := [3]int32{told[0].Load(), told[1].Load(), told[2].Load()}
	tell("two")
	eventually(t, "both of two are told", func() bool { return told[1].Load() > before[1] && told[2].Load() > before[2] })
	if told[0].Load() != before[0] {
		t.Error("one was told of two")
	}

	// One of them is closed: the other is still told, and it is not.
	places[1].Close()
	before = [3]int32{told[0].Load(), told[1].Load(), told[2].Load()}
	tell("two")
	eventually(t, "the one that is left is told", func() bool { return told[2].Load() > before[2] })
	if told[1].Load() != before[1] {
		t.Error("it was told after Close")
	}

	// With the last one the subscription ends; a new one begins another.
	places[2].Close()
	eventually(t, "the subscription ends", func() bool {
		return len(s.do("PUBSUB", "CHANNELS").([]any)) == 1
	})
	again := b.Entry(credentials("two", clientSecret), endpoint, func() { told[1].Add(1) })
	defer again.Close()
	before[1] = told[1].Load()
	eventually(t, "it listens again", func() bool { return told[1].Load() > before[1] })
	tell("one")
	eventually(t, "one is told", func() bool { return told[0].Load() > before[0] })
}

func TestListensAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	proxy := newProxy(t, s.network, s.address, io.Discard)
	b := newBroker(t, proxy.url())
	var told atomic.Int32
	place := b.Entry(credentials(clientID, clientSecret), endpoint, func() { told.Add(1) })
	eventually(t, "it listens", func() bool { return told.Load() > 0 })
	for name, interrupt := range map[string]func(){
		"dropped":   proxy.drop,
		"killed":    func() { s.do("CLIENT", "KILL", "TYPE", "pubsub") },
		"restarted": func() { s.kill(); s.run() },
	} {
		before := told.Load()
		interrupt()
		// What was told in the meantime, nobody heard: it is told again with the new subscription.
		eventually(t, name+": it listens again", func() bool { return told.Load() > before })
	}
	before := told.Load()
	other := newBroker(t, s.url).place()
	put(t, other, newToken(lead(t, other, tokensource.Known{}, time.Minute)))
	eventually(t, "it is told", func() bool { return told.Load() > before })
	eventually(t, "the store is used again", func() bool {
		token, err := place.Get(context.Background(), tokensource.Known{})
		return err == nil && token != nil
	})
	changes := b.changes.all()
	for i, change := range changes {
		if (change == "") != (i%2 == 1) {
			t.Errorf("%q was told: it does not alternate", changes)
		}
	}
	if b.Problem() != "" {
		t.Errorf("after all: %s", b.Problem())
	}
}

// goroutines counts those of this package and of go-redis, but those of tests.
func goroutines() (count int, stacks string) {
	buffer := make([]byte, 4<<20)
	for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
		if strings.Contains(stack, "tokensource/redisstore.") || strings.Contains(stack, "go-redis/v9") && !strings.Contains(stack, "redisstore_test.") {
			count++
			stacks += stack + "\n\n"
		}
	}
	return count, stacks
}

// It does not run beside others, whose goroutines it would count.
func TestNothingIsLeft(t *testing.T) {
	s := start(t)
	hanging, _ := listen(t, noStores["hangs"])
	nonsense, _ := listen(t, noStores["HTTP"])
	before, _ := goroutines()
	for _, url := range []string{
		s.url, "redis://" + hanging, "rediss://" + hanging, "redis://" + nonsense, "redis://127.0.0.1:1", "unix:///nowhere",
		"redis://" + hanging + "?addr=127.0.0.1:1", "redis://" + hanging + "?master_name=shop",
	} {
		b := newBroker(t, url)
		place := b.place()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { _, _ = place.Acquire(context.Background(), tokensource.Known{}, time.Minute) })
		}
		all.Wait()
		b.end() // in the middle of whatever it does
		eventually(t, url+": nothing is left", func() bool { now, _ := goroutines(); return now <= before })
	}

	// Run ends while others still use the store.
	b := newBroker(t, s.url)
	place := b.place()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				_, _ = place.Acquire(context.Background(), tokensource.Known{}, time.Millisecond)
			}
		})
	}
	b.end()
	all.Wait()
	if _, err := place.Get(context.Background(), tokensource.Known{}); err == nil || b.Problem() != "" {
		t.Errorf("after the end: %v; %q", err, b.Problem())
	}
	eventually(t, "nothing is left", func() bool { now, _ := goroutines(); return now <= before })
}

// Nothing is connected before there is something to share.
func TestNoPlaceNoConnection(t *testing.T) {
	t.Parallel()
	address, accepted := listen(t, noStores["closes"])
	b := newBroker(t, "redis://"+address)
	time.Sleep(100 * time.Millisecond) // what does not happen cannot be waited for
	b.end()
	if n := accepted.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// Places come and go while others are told.
func TestPlacesComeAndGo(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := newBroker(t, s.url)
	var told atomic.Int32
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 50 {
				place := b.Entry(credentials(string(rune('a'+i%2)), clientSecret), endpoint, func() { told.Add(1) })
				_ = place.Put(context.Background(), newToken(uint64(time.Now().UnixMicro())))
				place.Close()
			}
		})
	}
	all.Wait()
	last := b.Entry(credentials("last", clientSecret), endpoint, func() { told.Add(1_000_000) })
	defer last.Close()
	eventually(t, "the last one listens", func() bool { return told.Load() >= 1_000_000 })
	eventually(t, "and it alone", func() bool { return len(s.do("PUBSUB", "CHANNELS").([]any)) == 1 })
}

// Try leaves nothing behind, and says what is wrong.
func TestTry(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := newBroker(t, s.url).Try(context.Background()); err != nil {
		t.Error(err)
	}
	eventually(t, "nothing is left", func() bool { return len(s.keys("")) == 0 })
	if err := newBroker(t, "redis://127.0.0.1:1").Try(context.Background()); err == nil || err.Error() != "refused the connection" {
		t.Error(err)
	}
}
