package redisstore_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// emptyReply is that of an empty store to Get.
const emptyReply = "*6\r\n$3\r\n100\r\n$1\r\n0\r\n$0\r\n\r\n$2\r\n-2\r\n$0\r\n\r\n$2\r\n-2\r\n"

// A script is repeated if the server closes the connection instead of replying, but only once, and not after a reply. It has a
// connection of its own.
func TestRepeatsScriptOnceWithoutReply(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		replies         []string // one for each connection; empty: it is closed
		wantConnections int64
		wantErr         string
	}{
		"answered":     {[]string{emptyReply}, 1, ""},
		"closed":       {[]string{"", emptyReply}, 2, ""},
		"closed twice": {[]string{"", "", emptyReply}, 2, "closed the connection before the answer was complete"},
		"refused":      {[]string{"-OOM x\r\n", emptyReply}, 1, "refuses the request with the error OOM"},
		"invalid":      {[]string{"?\r\n", emptyReply}, 1, "sends invalid replies: check that it is a Redis or Valkey server"},
		"replica":      {[]string{"-READONLY x\r\n", emptyReply}, 1, "is a read-only replica: use the address of the primary, or Sentinel (master_name)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var accepted, closed atomic.Int64
			address := brokertest.ServeRaw(t, func(conn net.Conn) {
				defer closed.Add(1)
				reply := test.replies[accepted.Add(1)-1]
				if _, err := conn.Read(make([]byte, 4<<10)); err != nil || reply == "" {
					return
				}
				_, _ = io.WriteString(conn, reply)
				_, _ = io.Copy(io.Discard, conn)
			})
			got := ""
			if _, err := connect(t, "redis://"+address).entry().Get(context.Background()); err != nil {
				got = err.Error()
			}
			if n := accepted.Load(); got != test.wantErr || n != test.wantConnections {
				t.Errorf("got %q with %d connections, want %q with %d", got, n, test.wantErr, test.wantConnections)
			}
			brokertest.Eventually(t, "all connections are closed", func() bool { return closed.Load() == test.wantConnections })
		})
	}
}

// What a server sends unasked is not taken for the reply to the next script.
func TestIgnoresSurplusReply(t *testing.T) {
	t.Parallel()
	e := connect(t, "redis://"+brokertest.ServeRaw(t, speaks(func([]string) string {
		return emptyReply + strings.Replace(emptyReply, "100", "666", 1)
	}))).entry()
	for range 3 {
		if got := get(t, e).FencingToken; got != 100 {
			t.Errorf("got the fencing token %d, want 100", got)
		}
	}
}

// A Cluster works while one of its nodes does, and the one in the URL that worked last is asked first.
func TestClusterWithoutSomeNodes(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]func() string{
		"refuses":     func() string { return brokertest.ClosedPort(t) },
		"hangs":       func() string { return brokertest.ServeRaw(t, invalidStores["hangs"]) },
		"was removed": func() string { return brokertest.ServeRaw(t, always("-CLUSTERDOWN Hash slot not served\n")) },
		"starts":      func() string { return brokertest.ServeRaw(t, always("-LOADING x\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ofFirst, ofKeys atomic.Int64
			keys := brokertest.ServeRaw(t, speaks(func([]string) string { ofKeys.Add(1); return emptyReply }))
			first := brokertest.ServeRaw(t, speaks(func([]string) string {
				ofFirst.Add(1)
				return "-MOVED 5 :" + portOf(keys) + "\r\n" // with the same host
			}))
			b := connect(t, "redis://"+down()+"?addr="+first)
			e := b.entry()
			for range 3 {
				get(t, e)
			}
			get(t, b.Entry(credentials("another", clientSecret), endpoint, func() {}))
			if ofFirst.Load() != 4 || ofKeys.Load() != 4 {
				t.Errorf("got %d requests to the node of the URL, and %d to that of the keys, want 4 and 4", ofFirst.Load(), ofKeys.Load())
			}
		})
	}
}

// A broker listens to a node that works.
func TestListensToClusterWithoutSomeNodes(t *testing.T) {
	t.Parallel()
	down := brokertest.ServeRaw(t, invalidStores["hangs"])
	b := newBroker(t, "redis://"+down+"?addr="+brokertest.ClosedPort(t)+"&addr="+brokertest.ServeRaw(t, listening("")))
	var notified atomic.Int32
	b.Entry(credentials(clientID, clientSecret), endpoint, func() { notified.Add(1) })
	brokertest.Eventually(t, "it listens", func() bool { return notified.Load() > 0 })
	if problems := b.problems.all(); len(problems) > 0 {
		t.Errorf("got the problems %q, want none", problems)
	}
}

// Nodes that refer to each other are asked a few times only.
func TestClusterRedirectsWithoutEnd(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	l := brokertest.Listen(t, "tcp", "127.0.0.1:0")
	node := l.Addr().String()
	brokertest.ServeRawOn(t, l, speaks(func([]string) string {
		asked.Add(1)
		return "-MOVED 5 " + node + "\r\n"
	}))
	_, err := connect(t, "redis://"+node+"?addr="+node).entry().Get(context.Background())
	if n := asked.Load(); err == nil || n != 8 {
		t.Errorf("got %v after %d requests, want an error after 8", err, n)
	}
}

// One Sentinel is enough: the others may be down, hang or not know the primary.
func TestOneSentinelIsEnough(t *testing.T) {
	t.Parallel()
	server := brokertest.ServeRaw(t, speaks(func([]string) string { return emptyReply }))
	host, port, _ := net.SplitHostPort(server)
	sentinel := brokertest.ServeRaw(t, always("*2\n$9\n"+host+"\n$5\n"+port+"\n"))
	url := "redis://" + brokertest.ServeRaw(t, invalidStores["hangs"]) + "?master_name=shop&addr=" + brokertest.ClosedPort(t) +
		"&addr=" + brokertest.ServeRaw(t, always("*-1\n")) + "&addr="
	get(t, connect(t, url+sentinel).entry())
	for reply, want := range map[string]string{
		"*-1\n":                  "knows no primary of that name: check master_name",
		"*1\n$1\nx\n":            "sends invalid replies: check that it is a Redis or Valkey server",
		"*2\n*0\n*0\n":           "sends invalid replies: check that it is a Redis or Valkey server",
		"-NOAUTH " + host + "\n": "requires a password: write redis://USER:PASSWORD@HOST:PORT",
	} {
		_, err := connect(t, "redis://"+brokertest.ServeRaw(t, always(reply))+"?master_name=shop").entry().Get(context.Background())
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", reply, err, want)
		}
	}
}
