package redisstore

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gomodule/redigo/redis"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/tokensource"
)

func testSealer(id, secret string) sealer {
	return newSealer(tokensource.Credentials{ID: tokensource.NewSecret(id), Secret: tokensource.NewSecret(secret)}, tokensource.TokenEndpoint{})
}

// A record opens only unchanged, with the same credentials, and under the same key.
func TestSeal(t *testing.T) {
	s := testSealer("id", "secret")
	sealed := s.seal("key", tokenOrLeaseRecord{Lease: tokensource.Lease{FencingToken: 5}, AccessToken: "a"})
	if r, ok := s.open("key", sealed); !ok || r.FencingToken != 5 || r.AccessToken != "a" {
		t.Errorf("got %+v, %t, want the record", r, ok)
	}
	for i := range sealed {
		changed := []byte(sealed)
		changed[i] ^= 1
		if _, ok := s.open("key", string(changed)); ok {
			t.Errorf("opened with byte %d changed", i)
		}
	}
	for name, open := range map[string]func() (tokenOrLeaseRecord, bool){
		"another key":    func() (tokenOrLeaseRecord, bool) { return s.open("another", sealed) },
		"another secret": func() (tokenOrLeaseRecord, bool) { return testSealer("id", "another").open("key", sealed) },
		"truncated":      func() (tokenOrLeaseRecord, bool) { return s.open("key", sealed[1:]) },
		"empty":          func() (tokenOrLeaseRecord, bool) { return s.open("key", "") },
	} {
		if r, ok := open(); ok {
			t.Errorf("%s: opened as %+v", name, r)
		}
	}
	if s.name == testSealer("id", "another").name || s.name == testSealer("another", "secret").name || s.name != testSealer("id", "secret").name {
		t.Error("want one name for each pair")
	}
}

// Brokers share a token only if all that it depends on is the same: pair, login server, audience, scopes and API.
func TestNamesDifferByEnvironment(t *testing.T) {
	pair := tokensource.Credentials{ID: tokensource.NewSecret("id"), Secret: tokensource.NewSecret("secret")}
	names := map[string]int{}
	for i, endpoint := range []tokensource.TokenEndpoint{
		{URL: "a", Audience: "b"}, {URL: "b", Audience: "b"}, {URL: "a", Audience: "c"}, {URL: "ab"}, {URL: "a", Audience: "b", Scopes: []string{"c"}},
		{URL: "a", Audience: "b", API: "c"}, {URL: "a", Audience: "b", API: "d"}, {URL: "a", Audience: "b", Scopes: []string{"c", "d"}},
	} {
		name := newSealer(pair, endpoint).name
		if other, taken := names[name]; taken {
			t.Errorf("endpoints %d and %d have the same name", i, other)
		}
		names[name] = i
	}
}

// FuzzReply parses what a script may return, and records that no broker sealed.
func FuzzReply(f *testing.F) {
	mine := testSealer("id", "secret")
	sealed := mine.seal("key", tokenOrLeaseRecord{Lease: tokensource.Lease{FencingToken: 5}, AccessToken: "a"})
	f.Add("5", sealed)
	f.Add("9007199254740992", "x")
	f.Add("-1", sealed[1:])
	f.Fuzz(func(t *testing.T, number, text string) {
		if n := parseNumberOrZero(number); n >= 1<<53 {
			t.Errorf("%q: got the number %d, want less than 2^53", number, n)
		}
		if r, ok := mine.open("key", text); ok && (r.AccessToken != "a" || r.FencingToken != 5) {
			t.Errorf("%x was opened as %+v", text, r)
		}
	})
}

// An attacker who can write to the store may have kept an old lease, and put it back, or let a lease last longer than its holder
// wanted. A broker whose clock is wrong by a minute is no attacker.
func TestIgnoresOldLease(t *testing.T) {
	const fence = 1_800_000_000_000_000 // the store's clock, in microseconds
	var lease string
	var remaining time.Duration
	address := brokertest.ServeRaw(t, func(conn net.Conn) {
		for buffer := make([]byte, 4<<10); ; {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
			_, _ = io.WriteString(conn, "*6\r\n")
			for _, text := range []string{strconv.Itoa(fence), "0", "", "-2", lease, strconv.FormatInt(remaining.Milliseconds(), 10)} {
				_, _ = fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(text), text)
			}
		}
	})
	options, err := ParseURL("redis://" + address)
	if err != nil {
		t.Fatal(err)
	}
	s := New(options, nil)
	defer s.client.close()
	e, ok := s.Entry(tokensource.Credentials{}, tokensource.TokenEndpoint{}, func() {}).(*entryHandle)
	if !ok {
		t.Fatal("Entry does not return an *entry")
	}
	for _, tc := range []struct {
		age, ahead       time.Duration // by the store's clock; how far the clock of the broker with the lease is ahead
		remaining, store time.Duration // what the broker and the store say
		want             time.Duration // remaining; 0: no lease
	}{
		{0, 0, 15 * time.Second, 10 * time.Second, 10 * time.Second},
		{0, 0, 2 * time.Second, time.Hour, 2 * time.Second},
		{29 * time.Second, 0, 5 * time.Second, 4 * time.Second, 4 * time.Second}, // the pause after the longest attempt
		{34 * time.Second, 0, 5 * time.Second, time.Hour, 2 * time.Second},
		{36 * time.Second, 0, 5 * time.Second, time.Hour, 0},
		{60 * time.Second, 0, 30 * time.Second, time.Hour, time.Second},
		{61 * time.Second, 0, 30 * time.Second, time.Hour, 0},
		{24 * time.Hour, 0, 30 * time.Second, time.Hour, 0},
		{-time.Hour, 0, 15 * time.Second, 10 * time.Second, 10 * time.Second}, // the store's clock was set back
		{0, time.Minute, 15 * time.Second, 10 * time.Second, 10 * time.Second},
		{0, -time.Minute, 15 * time.Second, 10 * time.Second, 10 * time.Second},
		{0, 4 * time.Minute, 15 * time.Second, 10 * time.Second, 10 * time.Second},
		{0, -4 * time.Minute, 15 * time.Second, 10 * time.Second, 10 * time.Second},
		{0, 6 * time.Minute, 15 * time.Second, 10 * time.Second, 0},
		{0, -6 * time.Minute, 15 * time.Second, 10 * time.Second, 0},
	} {
		remaining, lease = tc.store, e.seal(e.leaseKey, tokenOrLeaseRecord{Lease: tokensource.Lease{FencingToken: fence - tc.age.Microseconds(), Remaining: tc.remaining}, Issued: time.Now().Add(tc.ahead)})
		shared, err := e.Get(t.Context())
		if got := shared.Lease; err != nil || got.Remaining != tc.want || (got.FencingToken != 0) != (tc.want != 0) {
			t.Errorf("%+v: got %+v and %v", tc, got, err)
		}
	}
}

// stream is a connection that has a reader.
type stream struct {
	net.Conn
	io.Reader
}

func (s stream) Read(p []byte) (int, error)        { return s.Reader.Read(p) }
func (s stream) SetReadDeadline(_ time.Time) error { return nil }
func (s stream) Close() error                      { return nil }

// read reads a reply through a replyLimitedConn.
func read(t *testing.T, reply io.Reader) (int64, error) {
	t.Helper()
	c := &replyLimitedConn{Conn: stream{Reader: reply}}
	if err := c.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	return io.Copy(io.Discard, struct{ io.Reader }{c})
}

// Valid replies pass, however they are cut. Replies that are too large, or announce it, fail.
func TestLimitsReplies(t *testing.T) {
	valid := strings.ReplaceAll("+OK\n-ERR *9999999\n:5\n$3\na\n\n$0\n\n$-1\n*0\n*-1\n*2\n*1\n:1\n$2\n\n\n$10\n\n*9999999\n\n+*9999999\n$9\n*9999999\n\n:-5\n", "\n", "\r\n")
	for name, reader := range map[string]io.Reader{
		"at once":      strings.NewReader(valid),
		"byte by byte": iotest.OneByteReader(strings.NewReader(valid)),
		"in halves":    iotest.HalfReader(strings.NewReader(valid)),
	} {
		if n, err := read(t, reader); err != nil || int(n) != len(valid) {
			t.Errorf("%s: got %v after %d bytes, want all %d", name, err, n, len(valid))
		}
	}
	token := strings.Repeat("x", 64<<10)
	for text, want := range map[string]bool{
		fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$9999\r\n%s\r\n", len(token), token, token[:9999]): true,
		strings.Repeat("*2\r\n$10\r\n0123456789\r\n:1\r\n", 700):                           true,
		"$131073\r\n":                           false,
		"*2049\r\n":                             false,
		"$1099511627776\r\n":                    false,
		"$18446744073709551615\r\n":             false,
		"*9223372036854775808\r\n":              false,
		strings.Repeat("*1\r\n", 2000):          false,
		strings.Repeat("*999\r\n", 3):           false,
		"$4\r\nabcd\r\n*9999\r\n":               false,
		"$-1\r\n*9999\r\n":                      false,
		"$0\r\n\r\n*9999\r\n":                   false,
		"+" + strings.Repeat("x", maxReplySize): false,
	} {
		for name, reader := range map[string]io.Reader{"at once": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
			if _, err := read(t, reader); (err == nil) != want {
				t.Errorf("%.20q %s: got %v, want success %t", text, name, err, want)
			}
		}
	}
}

// FuzzLimitedConn reads replies as a script's and as notifications. redigo must not panic: it would end the process.
func FuzzLimitedConn(f *testing.F) {
	for _, seed := range []string{
		"*2\r\n$3\r\nabc\r\n:1\r\n", "*1\r\n$-1\r\n*-1\r\n", "$999999999\r\n", "*9223372036854775808\r\n", "$0\r\n\r\n-ERR\r\n", "*1\r\n*1\r\n*1\r\n",
		"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n*1\r\n*0\r\n", "*3\r\n+subscribe\r\n:1\r\n+x\r\n", "*4\r\n$8\r\npmessage\r\n-1\r\n:1\r\n$-1\r\n", "*2\r\n$4\r\npong\r\n:99\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, whole := read(t, bytes.NewReader(text))
		_, cut := read(t, iotest.OneByteReader(bytes.NewReader(text)))
		if (whole == nil) != (cut == nil) {
			t.Errorf("got %v at once and %v byte by byte, want the same", whole, cut)
		}
		replies := redis.NewConn(&replyLimitedConn{Conn: stream{Reader: bytes.NewReader(text)}}, 0, 0)
		for replies.Err() == nil {
			_, _ = redis.Strings(replies.Receive())
		}
		notifications := redis.PubSubConn{Conn: redis.NewConn(&replyLimitedConn{Conn: stream{Reader: bytes.NewReader(text)}}, 0, 0)}
		for notifications.Conn.Err() == nil {
			_ = notifications.Receive()
		}
	})
}
