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

	"github.com/redis/go-redis/v9"

	"etrusted-broker/tokensource"
)

func testSeal(id, secret string) seal {
	return newSeal(tokensource.Credentials{ID: tokensource.NewSecret(id), Secret: tokensource.NewSecret(secret)}, tokensource.TokenEndpoint{})
}

var sealedAt = time.UnixMilli(1_800_000_000_000)

// FuzzAnswer reads fields as a script answers with, from outside bytes: the first of each is its type.
func FuzzAnswer(f *testing.F) {
	mine := testSeal("id", "secret")
	sealed := mine.sealToken(tokensource.SharedToken{AccessToken: tokensource.NewSecret("a"), FencingToken: 5, Issued: sealedAt, Lifetime: time.Minute})
	f.Add([]byte("s5\ni1000"), sealed)
	f.Add([]byte("s0\nn\ni-1\ns-5\nl\ns9007199254740992"), []byte("x"))
	f.Add([]byte("s99999999999999999999\ni9223372036854775807"), mine.sealFailure(tokensource.SharedFailure{Failures: 1}, sealedAt))
	f.Fuzz(func(t *testing.T, text, record []byte) {
		var reply fields
		for field := range bytes.SplitSeq(text, []byte("\n")) {
			switch kind, rest := field[:min(1, len(field))], field[min(1, len(field)):]; string(kind) {
			case "s":
				reply.all = append(reply.all, string(rest))
			case "i":
				n, _ := strconv.ParseInt(string(rest), 10, 64)
				reply.all = append(reply.all, n)
			case "l":
				reply.all = append(reply.all, []any{string(rest)})
			default:
				reply.all = append(reply.all, nil)
			}
		}
		for len(reply.all) > 0 && !reply.bad {
			again := reply
			if fence := again.fence(); again.bad != (fence == 0) || fence >= 1<<53 {
				t.Errorf("fence %d of %v", fence, reply.all[0])
			}
			again = reply
			if lasts := again.duration(); lasts < 0 || lasts > 48*time.Hour {
				t.Errorf("%v of %v", lasts, reply.all[0])
			}
			reply.text()
		}

		// What was not sealed with this key is nothing: there is but one token that was.
		if token, err := mine.openToken(record, sealedAt); err == nil && (token.AccessToken.Reveal() != "a" || token.FencingToken != 5) {
			t.Errorf("%x is a token: %+v", record, token)
		}
		_, _ = mine.openFailure(record, sealedAt)
	})
}

// A failure of another time is none: whoever can write may have kept it.
func TestFailureOfAnotherTime(t *testing.T) {
	s := testSeal("id", "secret")
	sealed := s.sealFailure(tokensource.SharedFailure{Failures: 3}, sealedAt)
	for after, want := range map[time.Duration]bool{
		0: true, time.Minute: true, -time.Minute: true, time.Minute + time.Millisecond: false, -time.Hour: false, 24 * time.Hour: false,
	} {
		if failure, err := s.openFailure(sealed, sealedAt.Add(after)); err != nil || (failure != nil) != want {
			t.Errorf("after %v: %+v, %v", after, failure, err)
		}
	}
}

// What is sealed opens in its place alone, and for what it is.
func TestSeal(t *testing.T) {
	s := testSeal("id", "secret")
	sealed := s.close(tokenKind, []byte("plain"))
	if plain, err := s.open(tokenKind, sealed); err != nil || string(plain) != "plain" {
		t.Errorf("%q, %v", plain, err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := s.open(tokenKind, changed); err == nil {
			t.Errorf("with another byte %d it opens", i)
		}
	}
	for name, open := range map[string]func() ([]byte, error){
		"another kind":   func() ([]byte, error) { return s.open(failureKind, sealed) },
		"another client": func() ([]byte, error) { return testSeal("another", "secret").open(tokenKind, sealed) },
		"another secret": func() ([]byte, error) { return testSeal("id", "another").open(tokenKind, sealed) },
		// The name is no secret: whoever has it, but not the client secret, cannot read.
		"another secret, same name": func() ([]byte, error) {
			return seal{name: s.name, aead: testSeal("id", "another").aead}.open(tokenKind, sealed)
		},
		"less":    func() ([]byte, error) { return s.open(tokenKind, sealed[1:]) },
		"nothing": func() ([]byte, error) { return s.open(tokenKind, nil) },
	} {
		if plain, err := open(); err == nil {
			t.Errorf("%s: %q", name, plain)
		}
	}
	if s.name == testSeal("id", "another").name || s.name == testSeal("another", "secret").name || s.name != testSeal("id", "secret").name {
		t.Error("the name does not tell pairs apart")
	}
}

// stream is a connection from which something is read.
type stream struct {
	net.Conn
	io.Reader
}

func (s stream) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// What makes sense passes the guard, however it is cut; what is too large does not.
func TestGuard(t *testing.T) {
	good := strings.ReplaceAll("+OK\n-ERR x\n:5\n$3\na\n\n$0\n\n$-1\n*0\n*-1\n*2\n*1\n:1\n$2\n\n\n%1\n+a\n*1\n#t\n|1\n+a\n+b\n:1\n~1\n,1.5\n>2\n+a\n_\n=5\ntxt:a\n(1\n", "\n", "\r\n")
	all := strings.Repeat(good, 20_000) // far more than one answer may have
	for name, reader := range map[string]io.Reader{
		"at once":      strings.NewReader(all),
		"byte by byte": iotest.OneByteReader(strings.NewReader(all)),
		"in halves":    iotest.HalfReader(strings.NewReader(all)),
	} {
		if n, err := io.Copy(io.Discard, &guard{Conn: stream{Reader: reader}, open: 1}); err != nil || int(n) != len(all) {
			t.Errorf("%s: %v after %d of %d bytes", name, err, n, len(all))
		}
	}
	large := strings.Repeat("x", maxText)
	for text, want := range map[string]bool{
		fmt.Sprintf("$%d\r\n%s\r\n", len(large), large): true,
		fmt.Sprintf("*%d\r\n", maxValues/2):             true,
		fmt.Sprintf("$%d\r\n", maxAnswer):               false,
		fmt.Sprintf("*%d\r\n", maxValues+1):             false,
		fmt.Sprintf("%%%d\r\n", maxValues):              false,
		strings.Repeat("*1\r\n", maxValues+1):           false,
		strings.Repeat("*9999\r\n", 20):                 false,
		strings.Repeat("|1\r\n+a\r\n+b\r\n", maxValues): false,
		"+" + strings.Repeat("x", maxAnswer):            false,
		"HTTP/1.1 200 OK\r\n":                           false,
		"\r\n":                                          false,
		"+\n":                                           false,
		"$-2\r\n":                                       false,
		"$x\r\n":                                        false,
		"$18446744073709551615\r\n":                     false,
	} {
		_, err := io.Copy(io.Discard, &guard{Conn: stream{Reader: strings.NewReader(text)}, open: 1})
		if (err == nil) != want {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func FuzzGuard(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nabc\r\n:1\r\n"))
	f.Add([]byte("%1\r\n|1\r\n+a\r\n+b\r\n+c\r\n_\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		whole, _ := io.Copy(io.Discard, &guard{Conn: stream{Reader: bytes.NewReader(text)}, open: 1})
		if whole != 0 && int(whole) != len(text) {
			t.Errorf("%d of %d bytes passed", whole, len(text))
		}
		g := &guard{Conn: stream{Reader: iotest.OneByteReader(bytes.NewReader(text))}, open: 1}
		cut, _ := io.Copy(io.Discard, g)
		if (whole == int64(len(text))) != (cut == int64(len(text))) {
			t.Errorf("at once %d bytes pass, one by one %d", whole, cut)
		}
		if g.open < 0 || g.skip < 0 || g.open > maxValues*3 || g.bytes > maxAnswer*2 {
			t.Errorf("%+v", g)
		}
	})
}

// A panic of go-redis is a store that makes no sense, and does not end the process.
func TestPanic(t *testing.T) {
	s := New(Config{})
	_ = s.client.Close()
	s.client = struct{ redis.UniversalClient }{} // calls nothing
	place := s.Entry(tokensource.Credentials{}, tokensource.TokenEndpoint{}, func() {})
	if _, err := place.Get(t.Context(), tokensource.Known{}); err == nil || err.Error() != explain(errNonsense) {
		t.Error(err)
	}
}
