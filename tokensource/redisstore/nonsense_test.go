package redisstore_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// listen accepts connections on a port of this machine and hands them to serve, which need not close them.
func listen(t *testing.T, serve func(net.Conn)) (address string, accepted *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = &atomic.Int64{}
	var mu sync.Mutex
	var conns []net.Conn
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			serving.Go(func() {
				serve(conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return l.Addr().String(), accepted
}

// says answers whatever it is told with the same.
func says(text string) func(net.Conn) {
	return func(conn net.Conn) {
		buffer := make([]byte, 64<<10)
		for {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
}

// saysForever says something, and then something else without an end.
func saysForever(first, then string) func(net.Conn) {
	return func(conn net.Conn) {
		text := bytes.Repeat([]byte(then), 64<<10/len(then))
		_, err := io.WriteString(conn, first)
		for err == nil {
			_, err = conn.Write(text)
		}
	}
}

// speaks answers commands, one by one, with what answer returns; HELLO is not known to it.
func speaks(answer func(command []string) string) func(net.Conn) {
	return func(conn net.Conn) {
		in := bufio.NewReader(conn)
		number := func() int {
			line, err := in.ReadString('\n')
			if err != nil || len(line) < 2 {
				return -1
			}
			n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
			if err != nil {
				return -1
			}
			return n
		}
		for {
			n := number()
			if n < 0 {
				return
			}
			command := make([]string, n)
			for i := range command {
				text := make([]byte, max(number(), 0)+2)
				if _, err := io.ReadFull(in, text); err != nil {
					return
				}
				command[i] = string(text[:len(text)-2])
			}
			reply := "-ERR unknown command " + clientSecret + "\r\n"
			if !strings.EqualFold(command[0], "hello") {
				reply = answer(command)
			}
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
		}
	}
}

// always answers every command alike.
func always(reply string) func(net.Conn) {
	return speaks(func([]string) string { return strings.ReplaceAll(reply, "\n", "\r\n") })
}

// listening takes subscriptions, and then says something; scripts work as if there were nothing in the store.
func listening(then string) func(net.Conn) {
	return speaks(func(command []string) string {
		switch strings.ToLower(command[0]) {
		case "subscribe":
			return fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(command[1]), command[1]) + strings.ReplaceAll(then, "\n", "\r\n")
		case "evalsha":
			return "*1\r\n$7\r\nnothing\r\n"
		}
		return "+OK\r\n"
	})
}

// echo says what it was told, as a server does that puts it into an error.
func echo(conn net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		text := strings.NewReplacer("\r", " ", "\n", " ").Replace(string(buffer[:n]))
		if _, err := fmt.Fprintf(conn, "-ERR what is %s %s?\r\n", text, clientSecret); err != nil {
			return
		}
	}
}

var noStores = map[string]func(net.Conn){
	"closes":             func(net.Conn) {},
	"hangs":              func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
	"HTTP":               says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
	"echo":               echo,
	"text":               says(clientSecret + "\r\n"),
	"empty lines":        says("\r\n\r\n"),
	"half a line":        says("+" + clientSecret),
	"huge string":        saysForever("$1000000000\r\n", clientSecret),
	"string of a TB":     says("$1099511627776\r\n"),
	"string of all":      says("$9223372036854775807\r\n"),
	"string of less":     says("$-7\r\n"),
	"string of a word":   says("$" + clientSecret + "\r\n"),
	"huge list":          saysForever("*1000000000\r\n", ":1\r\n"),
	"list of all":        says("*9223372036854775807\r\n"),
	"list of a TB":       says("*100000000000\r\n"),
	"lists in lists":     saysForever("", "*1\r\n"),
	"wide in wide":       saysForever("", "*90000\r\n"),
	"huge map":           says("%1000000000\r\n"),
	"map of lists":       always("%1\n*1\n:1\n:1\n"),
	"huge attribute":     says("|1000000000\r\n"),
	"attributes":         saysForever("", "|1\r\n+a\r\n+b\r\n"),
	"endless line":       saysForever("+", clientSecret),
	"endless error":      saysForever("-", clientSecret),
	"endless answers":    saysForever("", "+OK\r\n"),
	"error":              always("-" + clientSecret + "\n"),
	"error list":         always("*1\n-ERR " + clientSecret + "\n"),
	"moved":              always("-MOVED 1 " + clientSecret + ":1\n"),
	"nil":                always("$-1\n"),
	"nil list":           always("*-1\n"),
	"status":             always("+OK\n"),
	"empty list":         always("*0\n"),
	"numbers":            always("*4\n:1\n:2\n:3\n:4\n"),
	"lists":              always("*4\n*0\n*0\n*0\n*0\n"),
	"word":               always("*1\n$22\ncanary-client-secret-9\n"),
	"short token":        always("*1\n$5\ntoken\n"),
	"token, wrong types": always("*4\n$5\ntoken\n:5\n$1\nx\n:5\n"),
	"token, wrong fence": always("*4\n$5\ntoken\n$3\n1e3\n$1\nx\n:5\n"),
	"token, no seal":     always("*4\n$5\ntoken\n$3\n100\n$1\nx\n:5\n"),
	"token, wrong time":  always("*4\n$5\ntoken\n$3\n100\n$1\nx\n:-5\n"),
	"lease, no fence":    always("*1\n$5\nlease\n"),
	"lease, fence 0":     always("*2\n$5\nlease\n$1\n0\n"),
	"lease, huge fence":  always("*2\n$5\nlease\n$20\n18446744073709551615\n"),
	"taken, too long":    always("*4\n$5\ntaken\n$1\n5\n$1\nx\n:999999999999\n"),
	"taken, short":       always("*2\n$5\ntaken\n$1\n5\n"),
	"random": func(conn net.Conn) {
		noise := make([]byte, 1<<20)
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		for i := 0; i < len(noise); i += 100 { // many of these begin a value
			noise[i] = "+-:$*%~>|_\r\n"[rand.IntN(12)]
		}
		_, _ = conn.Write(noise)
		_, _ = io.Copy(io.Discard, conn)
	},
	"slow": speaks(func([]string) string { // each answer comes in time, and together they do not
		time.Sleep(700 * time.Millisecond)
		return "-NOSCRIPT x\r\n"
	}),
	"told an empty list":  listening("*0\n"),
	"told a number":       listening("*1\n:1\n"),
	"told half":           listening("*1\n$7\nmessage\n"),
	"told nil":            listening("*3\n$7\nmessage\n$-1\n$-1\n"),
	"told lists":          listening("*3\n$7\nmessage\n$1\nx\n*1\n*0\n"),
	"told of no channel":  listening("*3\n$9\nsubscribe\n:1\n+x\n"),
	"told a word":         listening("+" + clientSecret + "\n"),
	"told huge":           listening("*3\n$7\nmessage\n$1000000000\n"),
	"told an error":       listening("-" + clientSecret + "\n"),
	"told of another one": listening("*3\n$7\nmessage\n$1\nx\n$0\n\n"),
}

// A store that is none makes nobody wait, does not end the process, and nothing that it says is passed on.
func TestNoStore(t *testing.T) {
	t.Parallel()
	for name, serve := range noStores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, _ := listen(t, serve)
			for _, scheme := range []string{"redis://user:" + clientSecret + "@", "rediss://"} {
				b := newBroker(t, scheme+address)
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				place := b.place()
				_, took := place.Acquire(ctx, tokensource.Known{}, time.Minute)
				token, looked := place.Get(ctx, tokensource.Known{})
				if token != nil {
					t.Errorf("a token: %+v", token)
				}
				put := place.Put(ctx, newToken(1))
				released := place.Release(ctx, 1, nil, 0)
				if ctx.Err() != nil {
					t.Error("it was waited for")
				}
				if name == "slow" && scheme != "rediss://" && (took == nil || took.Error() != "did not answer in time") {
					t.Errorf("it was waited for: %v", took)
				}
				works := !strings.HasPrefix(scheme, "rediss") && strings.HasPrefix(name, "told")
				for _, err := range []error{took, looked} {
					if err == nil && !works {
						t.Error("it passes for a store")
					}
				}
				texts := b.changes.all()
				for _, err := range []error{took, looked, put, released} {
					if err != nil {
						texts = append(texts, err.Error())
					}
				}
				for _, text := range texts {
					if strings.Contains(text, "canary") || strings.Contains(text, "127.0.0.1") || len(text) > 150 {
						t.Errorf("%q", text)
					}
				}
			}
		})
	}
}

// What a few bytes announce is not made room for.
func TestNoStoreTakesNoMemory(t *testing.T) {
	var most uint64
	for name, serve := range noStores {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		address, _ := listen(t, serve)
		options, err := redisstore.ParseURL("redis://" + address)
		if err != nil {
			t.Fatal(err)
		}
		store := redisstore.New(redisstore.Config{Options: options})
		place := store.Entry(credentials(clientID, clientSecret), endpoint, func() {})
		_, _ = place.Acquire(context.Background(), tokensource.Known{}, time.Minute)
		end, cancel := context.WithCancel(context.Background())
		cancel()
		store.Run(end)
		runtime.ReadMemStats(&after)
		grown := after.TotalAlloc - before.TotalAlloc
		most = max(most, grown)
		if grown > 64<<20 {
			t.Errorf("%s: %d MB", name, grown>>20)
		}
	}
	t.Logf("%d kB at most", most>>10)
}

// TestNothingOnStandardError starts itself as a child: go-redis takes hold of standard error before any test runs.
func TestNothingOnStandardError(t *testing.T) {
	t.Parallel()
	child := exec.Command(os.Args[0], "-test.run=^TestNoStore$/^(closes|HTTP|echo|moved|told.*)$", "-test.count=1")
	var stderr bytes.Buffer
	child.Stderr = &stderr
	if out, err := child.Output(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v\n%s\nstandard error: %s", err, out, &stderr)
	}
}

// While a store is away it is tried seldom, however often it is asked for something and by how many.
func TestFewConnectionsWhileAway(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"redis://", "rediss://"} { // with TLS, making the connection fails
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			address, accepted := listen(t, func(net.Conn) {})
			b := newBroker(t, scheme+address)
			var all sync.WaitGroup
			for i := range 8 {
				place := b.Entry(credentials(fmt.Sprint(i), clientSecret), endpoint, func() {})
				all.Go(func() {
					for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
						if _, err := place.Acquire(context.Background(), tokensource.Known{}, time.Minute); err == nil {
							t.Error("no error")
						}
					}
				})
			}
			all.Wait()
			t.Logf("%d connections in 4 s", accepted.Load())
			if n := accepted.Load(); n > 25 {
				t.Errorf("%d connections in 4 s", n)
			}
			if changes := b.changes.all(); len(changes) != 1 {
				t.Errorf("%q was told", changes)
			}
		})
	}
}

// Nobody who is stopped waits for a store, and it is not the store's fault.
func TestStopped(t *testing.T) {
	t.Parallel()
	address, accepted := listen(t, noStores["hangs"])
	b := newBroker(t, "redis://"+address)
	place := b.place()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := place.Acquire(ctx, tokensource.Known{}, time.Minute)
		done <- err
	}()
	eventually(t, "it is asked", func() bool { return accepted.Load() > 0 })
	cancel()
	if err := <-done; err == nil || err.Error() != context.Canceled.Error() {
		t.Error(err)
	}
	b.end()
	if _, err := place.Get(context.Background(), tokensource.Known{}); err == nil || strings.Contains(err.Error(), "no sense") {
		t.Errorf("after the end: %v", err)
	}
}
