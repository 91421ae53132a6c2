package redisstore_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/tokensource"
)

// One Sentinel that is out of date does not hide the primary that the others name.
func TestAsksOtherSentinelsIfOneIsOutOfDate(t *testing.T) {
	t.Parallel()
	names := func(address string) string {
		host, port, _ := net.SplitHostPort(address)
		return fmt.Sprintf("*2\n$%d\n%s\n$%d\n%s\n", len(host), host, len(port), port)
	}
	for name, old := range map[string]string{
		"refuses": brokertest.ClosedPort(t),
		"replica": brokertest.ServeRaw(t, always("-READONLY x\n")),
	} {
		t.Run(name, func(t *testing.T) {
			current := brokertest.ServeRaw(t, speaks(func([]string) string { return emptyReply }))
			stale := brokertest.ServeRaw(t, always(names(old)))
			good := brokertest.ServeRaw(t, always(names(current)))
			_, err := connect(t, "redis://"+stale+"?master_name=shop&addr="+good).entry().Get(context.Background())
			if err != nil {
				t.Errorf("got %v, want none", err)
			}
		})
	}
}

// A server that hangs delays each account for a second, however many there are, and leaves no connection and no goroutine.
func TestHangingServerDelaysForASecond(t *testing.T) {
	for _, url := range []string{"redis://%s", "rediss://%[1]s", "redis://%[1]s?addr=%[1]s&addr=%[1]s", "redis://%[1]s?master_name=x&addr=%[1]s"} {
		var open atomic.Int64
		address := brokertest.ServeRaw(t, func(conn net.Conn) {
			open.Add(1)
			defer open.Add(-1)
			_, _ = io.Copy(io.Discard, conn)
		})
		before, _ := goroutines()
		b := connect(t, fmt.Sprintf(url, address))
		var all sync.WaitGroup
		for i := range 50 {
			e := b.Entry(credentials(fmt.Sprint(i), clientSecret), endpoint, func() {})
			all.Go(func() {
				began := time.Now()
				_, err := e.Acquire(context.Background(), tokensource.Lease{Remaining: time.Minute})
				if took := time.Since(began); err == nil || took > 5*time.Second {
					t.Errorf("%s: got %v after %v", url, err, took)
				}
			})
		}
		all.Wait()
		brokertest.Eventually(t, "all is closed", func() bool { now, _ := goroutines(); return open.Load() == 0 && now <= before })
	}
}

// The end of Run leaves no connection, whatever is going on.
func TestEndOfRunLeavesNoConnection(t *testing.T) {
	for range 10 {
		var open atomic.Int64
		address := brokertest.ServeRaw(t, func(conn net.Conn) {
			open.Add(1)
			defer open.Add(-1)
			listening("")(conn)
		})
		b := newBroker(t, "redis://"+address)
		var all sync.WaitGroup
		for i := range 8 {
			e := b.Entry(credentials(fmt.Sprint(i), clientSecret), endpoint, func() {})
			all.Go(func() {
				for b.Problem() == "" {
					if _, err := e.Get(context.Background()); err != nil {
						return
					}
				}
			})
		}
		brokertest.Eventually(t, "it works", func() bool { return open.Load() > 1 })
		b.end()
		all.Wait()
		brokertest.Eventually(t, "all is closed", func() bool { return open.Load() == 0 })
		if b.Problem() != "" {
			t.Errorf("got the problem %q", b.Problem())
		}
	}
}

// An odd address that a node or a Sentinel names delays nothing, ends no process, and is not repeated in an error.
func TestOddAddressesOfOtherServers(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{
		"", " ", " 5", " 5 ", " 5 :", " 5 :0", " 5 ::", " 5 [", " 5 ]:1", " 5 [::1", " 5 ?:7000", " 5 " + clientSecret, " 5 " + clientSecret + ":1", " 5 " + clientSecret + ".invalid:1",
		" 5 127.0.0.1:99999", " 5 127.0.0.1:-1", " 5 127.0.0.1:" + clientSecret, " 5 %:1", " 5 \x00:1", " 5 \xff:1", " 5 /tmp/x:1", " 5 a b:1", " 5 192.0.2.1:1",
		" 5 " + strings.Repeat("a", 100<<10) + ":1", " 5 :1 " + clientSecret,
	} {
		for _, scheme := range []string{"cluster", "sentinel"} {
			url := "redis://u:" + clientSecret + "@" + brokertest.ServeRaw(t, always("-MOVED"+rest+"\n"))
			url += "?addr=" + strings.TrimPrefix(url, "redis://u:"+clientSecret+"@")
			if scheme == "sentinel" {
				text := strings.TrimPrefix(rest, " 5 ")
				url = "redis://" + brokertest.ServeRaw(t, always(fmt.Sprintf("*2\n$%d\n%s\n$%d\n%s\n", len(text), text, len(text), text))) + "?master_name=x"
			}
			began := time.Now()
			_, err := connect(t, url).entry().Get(context.Background())
			if took := time.Since(began); err == nil || took > 5*time.Second || strings.Contains(err.Error(), "canary") || len(err.Error()) > 150 {
				t.Errorf("%s, %.40q: got %v after %v", scheme, rest, err, took)
			}
		}
	}
}
