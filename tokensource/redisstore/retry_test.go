package redisstore_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// emptyReply is that of an empty store to Get.
const emptyReply = "*6\r\n$3\r\n100\r\n$1\r\n0\r\n$0\r\n\r\n$2\r\n-2\r\n$0\r\n\r\n$2\r\n-2\r\n"

// A request is repeated on a new connection if the server closed the idle one, or became a replica. On a new connection it is not.
func TestRepeatsOnlyAfterIdleConnection(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		idle, fresh     string // the second reply on the first connection, and that on the second; empty: it is closed
		wantConnections int64
		wantErr         string
	}{
		"closed":                {"", emptyReply, 2, ""},
		"demoted":               {"-READONLY x\r\n", emptyReply, 2, ""},
		"failed":                {"-OOM x\r\n", emptyReply, 1, "refuses the request with the error OOM"},
		"invalid":               {"?\r\n", emptyReply, 1, "sends invalid replies: check that it is a Redis or Valkey server"},
		"closed twice":          {"", "", 2, "closed the connection before the answer was complete"},
		"demoted, and no other": {"-READONLY x\r\n", "-READONLY x\r\n", 2, "is a read-only replica: use the address of the primary, or Sentinel (master_name)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var accepted atomic.Int64
			address := brokertest.ServeRaw(t, func(conn net.Conn) {
				replies := []string{emptyReply, test.idle}
				if accepted.Add(1) > 1 {
					replies = []string{test.fresh}
				}
				for _, reply := range replies {
					if _, err := conn.Read(make([]byte, 4<<10)); err != nil || reply == "" {
						return
					}
					_, _ = io.WriteString(conn, reply)
				}
				_, _ = io.Copy(io.Discard, conn)
			})
			e := connect(t, "redis://"+address).entry()
			get(t, e)
			got := ""
			if _, err := e.Get(context.Background()); err != nil {
				got = err.Error()
			}
			if n := accepted.Load(); got != test.wantErr || n != test.wantConnections {
				t.Errorf("got %q with %d connections, want %q with %d", got, n, test.wantErr, test.wantConnections)
			}
		})
	}
}

// A Cluster works while one of its nodes does, and the node that has the keys is asked first.
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
			get(t, b.Entry(credentials("another", clientSecret), endpoint, func() {})) // although there is a connection to the node
			if ofFirst.Load() != 2 || ofKeys.Load() != 4 {
				t.Errorf("got %d requests to the node of the URL, and %d to that of the keys, want 2 and 4", ofFirst.Load(), ofKeys.Load())
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

func TestRunClosesIdleConnection(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	b := connect(t, "redis://"+brokertest.ServeRaw(t, func(conn net.Conn) {
		speaks(func([]string) string { return emptyReply })(conn)
		close(closed)
	}))
	get(t, b.entry())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.Run(ctx)
	brokertest.Receive(t, "the connection is closed", closed)
}
