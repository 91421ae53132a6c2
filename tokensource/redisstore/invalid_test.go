package redisstore_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
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

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/tokensource"
	"etrusted-broker/tokensource/redisstore"
)

// replies answers whatever it reads with what answer returns.
func replies(answer func(read string) string) func(net.Conn) {
	return func(conn net.Conn) {
		buffer := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			if _, err := io.WriteString(conn, answer(string(buffer[:n]))); err != nil {
				return
			}
		}
	}
}

// says answers whatever it reads with the same.
func says(text string) func(net.Conn) { return replies(func(string) string { return text }) }

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

// listening accepts subscriptions, and then says something; scripts work as with an empty store.
func listening(then string) func(net.Conn) {
	return speaks(func(command []string) string {
		switch strings.ToLower(command[0]) {
		case "subscribe":
			return fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(command[1]), command[1]) + strings.ReplaceAll(then, "\n", "\r\n")
		case "evalsha":
			if command[2] == "2" && len(command) == 5 {
				return strings.ReplaceAll("*6\n$3\n100\n$1\n0\n$0\n\n$2\n-2\n$0\n\n$2\n-2\n", "\n", "\r\n")
			}
			return "*1\r\n$1\r\n1\r\n"
		}
		return "+OK\r\n"
	})
}

var invalidStores = map[string]func(net.Conn){
	"closes": func(net.Conn) {},
	"hangs":  func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
	"HTTP":   says("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
	"echo": replies(func(read string) string { // a server that puts it into an error
		return "-ERR what is " + strings.NewReplacer("\r", " ", "\n", " ").Replace(read) + clientSecret + "?\r\n"
	}),
	"text":             says(clientSecret + "\r\n"),
	"empty lines":      says("\r\n\r\n"),
	"half a line":      says("+" + clientSecret),
	"huge string":      saysForever("$1000000000\r\n", clientSecret),
	"string of a TB":   says("$1099511627776\r\n"),
	"string of all":    says("$9223372036854775807\r\n"),
	"string of less":   says("$-7\r\n"),
	"string of a word": says("$" + clientSecret + "\r\n"),
	"huge list":        saysForever("*1000000000\r\n", ":1\r\n"),
	"list of all":      says("*9223372036854775807\r\n"),
	"list of a TB":     says("*100000000000\r\n"),
	"lists in lists":   saysForever("", "*1\r\n"),
	"wide in wide":     saysForever("", "*90000\r\n"),
	"huge map":         says("%1000000000\r\n"),
	"map of lists":     always("%1\n*1\n:1\n:1\n"),
	"huge attribute":   says("|1000000000\r\n"),
	"attributes":       saysForever("", "|1\r\n+a\r\n+b\r\n"),
	"endless line":     saysForever("+", clientSecret),
	"endless error":    saysForever("-", clientSecret),
	"endless answers":  saysForever("", "+OK\r\n"),
	"error":            always("-" + clientSecret + "\n"),
	"error list":       always("*1\n-ERR " + clientSecret + "\n"),
	"moved":            always("-MOVED 1 " + clientSecret + ":1\n"),
	"nil":              always("$-1\n"),
	"nil list":         always("*-1\n"),
	"status":           always("+OK\n"),
	"empty list":       always("*0\n"),
	"numbers":          always("*4\n:1\n:2\n:3\n:4\n"),
	"lists":            always("*4\n*0\n*0\n*0\n*0\n"),
	"one word":         always("*1\n$22\ncanary-client-secret-9\n"),
	"five words":       always("*5\n$1\n1\n$1\n1\n$1\n1\n$1\n1\n$1\n1\n"),
	"nils in a list":   always("*6\n$-1\n$-1\n$-1\n$-1\n$-1\n$-1\n"),
	"wrong types":      always("*6\n:1\n$1\n1\n$0\n\n:1\n$0\n\n:1\n"),
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
	"slow": speaks(func([]string) string {
		time.Sleep(700 * time.Millisecond)
		return "-NOSCRIPT x\r\n"
	}),
	"listening, an empty list":  listening("*0\n"),
	"listening, a number":       listening("*1\n:1\n"),
	"listening, half":           listening("*1\n$7\nmessage\n"),
	"listening, nil":            listening("*3\n$7\nmessage\n$-1\n$-1\n"),
	"listening, lists":          listening("*3\n$7\nmessage\n$1\nx\n*1\n*0\n"),
	"listening, of no channel":  listening("*3\n$9\nsubscribe\n:1\n+x\n"),
	"listening, a word":         listening("+" + clientSecret + "\n"),
	"listening, huge":           listening("*3\n$7\nmessage\n$1000000000\n"),
	"listening, an error":       listening("-" + clientSecret + "\n"),
	"listening, of another one": listening("*3\n$7\nmessage\n$1\nx\n$0\n\n"),
}

// An address that is no valid store delays nothing, does not end the process, and none of its words is passed on.
func TestInvalidStore(t *testing.T) {
	t.Parallel()
	for name, serve := range invalidStores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := brokertest.ServeRaw(t, serve)
			for scheme, user := range map[string]string{"redis": "user:" + clientSecret + "@", "rediss": ""} {
				t.Run(scheme, func(t *testing.T) {
					t.Parallel()
					b := newBroker(t, scheme+"://"+user+address)
					e, began := b.entry(), time.Now()
					shared, getErr := e.Get(context.Background())
					if took := time.Since(began); took > 5*time.Second {
						t.Errorf("got an answer after %v, want it within a second", took)
					}
					if shared.Token.FencingToken != 0 || shared.Lease.FencingToken != 0 {
						t.Errorf("got %+v, want neither a token nor a lease", shared)
					}
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					acquired, acquireErr := e.Acquire(ctx, tokensource.Lease{Remaining: time.Minute})
					putErr := e.Put(ctx, newToken(1))
					releaseErr := e.Release(ctx, tokensource.Lease{})
					if works := scheme == "redis" && strings.HasPrefix(name, "listening"); !works && (getErr == nil || acquired) {
						t.Errorf("got %v and acquired %t, want an error", getErr, acquired)
					}
					texts := b.problems.all()
					for _, err := range []error{getErr, acquireErr, putErr, releaseErr} {
						if err != nil {
							texts = append(texts, err.Error())
						}
					}
					for _, text := range texts {
						if strings.Contains(text, "canary") || strings.Contains(text, "127.0.0.1") || len(text) > 150 {
							t.Errorf("got the text %q, want no words of the server", text)
						}
					}
				})
			}
		})
	}
}

// Each answer comes in time, but together they take too long.
func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	address := brokertest.ServeRaw(t, invalidStores["slow"])
	_, err := newBroker(t, "redis://"+address).entry().Get(context.Background())
	if err == nil || err.Error() != "did not answer in time" {
		t.Errorf("got %v, want a timeout", err)
	}
}

// A reply that announces a huge length takes no memory.
func TestInvalidStoreTakesNoMemory(t *testing.T) {
	var most uint64
	for name, serve := range invalidStores {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		address := brokertest.ServeRaw(t, serve)
		options, err := redisstore.ParseURL("redis://" + address)
		if err != nil {
			t.Fatal(err)
		}
		store := redisstore.New(options, nil)
		brief, stop := context.WithTimeout(context.Background(), 200*time.Millisecond)
		_, _ = store.Entry(credentials(clientID, clientSecret), endpoint, func() {}).Get(brief)
		stop()
		end, cancel := context.WithCancel(context.Background())
		cancel()
		store.Run(end)
		runtime.ReadMemStats(&after)
		grown := after.TotalAlloc - before.TotalAlloc
		most = max(most, grown)
		if grown > 64<<20 {
			t.Errorf("%s: %d MB were allocated, want at most 64", name, grown>>20)
		}
	}
	t.Logf("%d kB at most", most>>10)
}

// TestNothingOnStandardError starts itself as a child, because it looks at all of standard error.
func TestNothingOnStandardError(t *testing.T) {
	t.Parallel()
	child := exec.Command(os.Args[0], "-test.run=^TestInvalidStore$/^(closes|HTTP|echo|moved|listening.*)$", "-test.count=1")
	var stderr bytes.Buffer
	child.Stderr = &stderr
	if out, err := child.Output(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v\n%s\nstandard error: %s", err, out, &stderr)
	}
}

// A store that is down is asked seldom, however many accounts there are.
func TestFewConnectionsWhileDown(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"redis://", "rediss://"} { // with TLS, the connection fails
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			var accepted atomic.Int64
			address := brokertest.ServeRaw(t, func(net.Conn) { accepted.Add(1) })
			b := newBroker(t, scheme+address)
			var all sync.WaitGroup
			for i := range 8 {
				e := b.Entry(credentials(fmt.Sprint(i), clientSecret), endpoint, func() {})
				all.Go(func() {
					for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
						if _, err := e.Get(context.Background()); err == nil {
							t.Error("got no error, want one")
						}
					}
				})
			}
			all.Wait()
			t.Logf("%d connections in a second", accepted.Load())
			if n := accepted.Load(); n > 25 {
				t.Errorf("got %d connections in a second, want at most 25", n)
			}
			if problems := b.problems.all(); len(problems) != 1 {
				t.Errorf("got the problems %q, want one", problems)
			}
		})
	}
}

// A broker that is stopped does not wait for the store, and does not report it as down.
func TestStopDoesNotWaitForStore(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	address := brokertest.ServeRaw(t, func(conn net.Conn) {
		asked <- struct{}{}
		invalidStores["hangs"](conn)
	})
	b := connect(t, "redis://"+address)
	e := b.entry()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := e.Get(ctx)
		done <- err
	}()
	brokertest.Receive(t, "the store is asked", asked)
	cancel()
	if err := <-done; err == nil || !errors.Is(err, context.Canceled) || b.Problem() != "" {
		t.Errorf("got %v and the problem %q, want only that ctx is done", err, b.Problem())
	}
}
