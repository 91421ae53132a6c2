package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"etrusted-broker/internal/brokertest"
)

// fakeServer answers questions over in-memory connections.
type fakeServer struct {
	reply     func(network string, asked dnsmessage.Message) []dnsmessage.Message // nil: no answer
	questions atomic.Int32
}

// newResolver returns a Resolver that asks the server.
func (s *fakeServer) newResolver() *Resolver {
	r := New(netip.MustParseAddrPort("192.0.2.53:53"))
	r.dial = func(_ context.Context, network, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		go s.serve(network, server)
		return client, nil
	}
	return r
}

func (s *fakeServer) serve(network string, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	buffer := make([]byte, maxUDPMessage)
	n, err := conn.Read(buffer)
	if err != nil {
		return
	}
	message := buffer[:n]
	if network == "tcp" {
		message = message[2:]
	}
	var asked dnsmessage.Message
	if asked.Unpack(message) != nil {
		return
	}
	s.questions.Add(1)
	for _, answer := range s.reply(network, asked) {
		packed, err := answer.Pack()
		if err != nil {
			panic(err)
		}
		if network == "tcp" {
			packed = append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)
		}
		_, _ = conn.Write(packed)
	}
	_, _ = io.Copy(io.Discard, conn) // until the client closes it
}

// answerTo returns an answer with records.
func answerTo(asked dnsmessage.Message, records ...dnsmessage.Resource) dnsmessage.Message {
	return dnsmessage.Message{
		Header:    dnsmessage.Header{ID: asked.ID, Response: true, RecursionAvailable: true},
		Questions: asked.Questions,
		Answers:   records,
	}
}

func record(name string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl}, Body: body}
}

func a(name, address string, ttl uint32) dnsmessage.Resource {
	return record(name, ttl, &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()})
}

func aaaa(name, address string, ttl uint32) dnsmessage.Resource {
	return record(name, ttl, &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(address).As16()})
}

func cname(name, target string) dnsmessage.Resource {
	return record(name, 300, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(target)})
}

// ofKind returns those of the records that answer the question, and all aliases.
func ofKind(asked dnsmessage.Message, records ...dnsmessage.Resource) dnsmessage.Message {
	return answerTo(asked, slices.DeleteFunc(records, func(r dnsmessage.Resource) bool {
		_, isAlias := r.Body.(*dnsmessage.CNAMEResource)
		_, isA := r.Body.(*dnsmessage.AResource)
		return !isAlias && isA != (asked.Questions[0].Type == dnsmessage.TypeA)
	})...)
}

func TestLookup(t *testing.T) {
	const name = "api.example."
	for _, test := range []struct {
		rule    string
		records []dnsmessage.Resource
		want    string // addresses, or a part of the error
	}{
		{"both families are used", []dnsmessage.Resource{a(name, "192.0.2.1", 60), aaaa(name, "2001:db8::1", 60)}, "192.0.2.1 2001:db8::1"},
		{"all addresses are used", []dnsmessage.Resource{a(name, "192.0.2.1", 60), a(name, "192.0.2.2", 60)}, "192.0.2.1 192.0.2.2"},
		{"names match in any case", []dnsmessage.Resource{a("API.Example.", "192.0.2.1", 60)}, "192.0.2.1"},
		{"aliases are followed in any order", []dnsmessage.Resource{
			a("c.example.", "192.0.2.3", 60), cname("b.example.", "c.example."), cname(name, "b.example."),
		}, "192.0.2.3"},
		{"records of other names do not count", []dnsmessage.Resource{a("evil.example.", "192.0.2.66", 60), a(name, "192.0.2.1", 60)}, "192.0.2.1"},
		{"a circle of aliases ends", []dnsmessage.Resource{cname(name, "b.example."), cname("b.example.", name)}, "the host has no address"},
		{"a host may have no address", nil, "the host has no address"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			server := &fakeServer{reply: func(_ string, asked dnsmessage.Message) []dnsmessage.Message {
				return []dnsmessage.Message{ofKind(asked, slices.Clone(test.records)...)}
			}}
			addresses, err := server.newResolver().LookupNetIP(t.Context(), "api.example")
			if got := describe(addresses, err); !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func describe(addresses []netip.Addr, err error) string {
	if err != nil {
		return err.Error()
	}
	texts := make([]string, len(addresses))
	for i, address := range addresses {
		texts[i] = address.String()
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

func TestAsksAgainWhenTheShortestTTLHasPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &fakeServer{reply: func(_ string, asked dnsmessage.Message) []dnsmessage.Message {
			return []dnsmessage.Message{ofKind(asked, a("api.example.", "192.0.2.1", 60), aaaa("api.example.", "2001:db8::1", 30))}
		}}
		r := server.newResolver()
		for _, step := range []struct {
			after time.Duration
			want  int32 // questions in all
		}{{0, 2}, {29 * time.Second, 2}, {2 * time.Second, 4}} {
			time.Sleep(step.after)
			if _, err := r.LookupNetIP(t.Context(), "api.example"); err != nil {
				t.Fatal(err)
			}
			if got := server.questions.Load(); got != step.want {
				t.Errorf("%v later: got %d questions, want %d", step.after, got, step.want)
			}
		}
	})
}

func TestLastKnownAddressesStayWhileTheServerIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		server := &fakeServer{reply: func(_ string, asked dnsmessage.Message) []dnsmessage.Message {
			if down.Load() {
				return nil
			}
			return []dnsmessage.Message{ofKind(asked, a("api.example.", "192.0.2.1", 10))}
		}}
		r := server.newResolver()
		lookup := func() (time.Duration, string) {
			began := time.Now()
			addresses, err := r.LookupNetIP(t.Context(), "api.example")
			return time.Since(began), describe(addresses, err)
		}
		if _, got := lookup(); got != "192.0.2.1" {
			t.Fatalf("at first: got %q", got)
		}
		down.Store(true)
		time.Sleep(11 * time.Second)
		if waited, got := lookup(); got != "192.0.2.1" || waited != attempts*attemptTimeout {
			t.Errorf("when the server went down: got %q after %v, want the last address after %v", got, waited, attempts*attemptTimeout)
		}
		if waited, got := lookup(); got != "192.0.2.1" || waited != 0 {
			t.Errorf("directly afterwards: got %q after %v, want it at once", got, waited)
		}
		down.Store(false)
		asked := server.questions.Load()
		time.Sleep(staleTTL + time.Second)
		if _, got := lookup(); got != "192.0.2.1" || server.questions.Load() == asked {
			t.Errorf("after the pause: got %q, and the server was asked: %v", got, server.questions.Load() > asked)
		}
	})
}

func TestNoAnswerWithoutKnownAddressesIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &fakeServer{reply: func(string, dnsmessage.Message) []dnsmessage.Message { return nil }}
		_, err := server.newResolver().LookupNetIP(t.Context(), "api.example")
		var failed *net.DNSError
		if !errors.As(err, &failed) || !failed.IsTimeout || failed.Name != "api.example" || failed.Server != "192.0.2.53:53" {
			t.Errorf("got %#v, want a timeout that names host and server", err)
		}
	})
}

func TestALostAnswerIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Int32
		server := &fakeServer{reply: func(_ string, asked dnsmessage.Message) []dnsmessage.Message {
			if lost.Add(1) <= 2 { // one for each family
				return nil
			}
			return []dnsmessage.Message{ofKind(asked, a("api.example.", "192.0.2.1", 60))}
		}}
		addresses, err := server.newResolver().LookupNetIP(t.Context(), "api.example")
		if got := describe(addresses, err); got != "192.0.2.1" {
			t.Errorf("got %q, want the address", got)
		}
	})
}

func TestOneFamilyIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &fakeServer{reply: func(_ string, asked dnsmessage.Message) []dnsmessage.Message {
			if asked.Questions[0].Type == dnsmessage.TypeAAAA {
				return nil
			}
			return []dnsmessage.Message{answerTo(asked, a("api.example.", "192.0.2.1", 60))}
		}}
		began := time.Now()
		addresses, err := server.newResolver().LookupNetIP(t.Context(), "api.example")
		if got := describe(addresses, err); got != "192.0.2.1" || time.Since(began) != resolutionDelay {
			t.Errorf("got %q after %v, want the IPv4 address after %v", got, time.Since(began), resolutionDelay)
		}
		time.Sleep(attempts * attemptTimeout) // the other question ends
	})
}

func TestATruncatedAnswerIsReadOverTCP(t *testing.T) {
	server := &fakeServer{reply: func(network string, asked dnsmessage.Message) []dnsmessage.Message {
		answer := ofKind(asked, a("api.example.", "192.0.2.1", 60))
		if network == "udp" {
			answer.Truncated, answer.Answers = true, nil
		}
		return []dnsmessage.Message{answer}
	}}
	addresses, err := server.newResolver().LookupNetIP(t.Context(), "api.example")
	if got := describe(addresses, err); got != "192.0.2.1" {
		t.Errorf("got %q, want the address", got)
	}
}

// An answer over TCP is whole: one that says otherwise does not mean that the host has no address.
func TestATruncatedAnswerOverTCPIsMalformed(t *testing.T) {
	server := &fakeServer{reply: func(_ string, asked dnsmessage.Message) []dnsmessage.Message {
		answer := answerTo(asked)
		answer.Truncated = true
		return []dnsmessage.Message{answer}
	}}
	addresses, err := server.newResolver().LookupNetIP(t.Context(), "api.example")
	if got := describe(addresses, err); !strings.Contains(got, "malformed") {
		t.Errorf("got %q, want that the answer is malformed", got)
	}
}

func TestForgedAnswersAreSkipped(t *testing.T) {
	server := &fakeServer{reply: func(_ string, asked dnsmessage.Message) []dnsmessage.Message {
		otherID := ofKind(asked, a("api.example.", "192.0.2.66", 60))
		otherID.ID++
		otherName := ofKind(asked, a("api.example.", "192.0.2.66", 60))
		otherName.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("evil.example."), Type: asked.Questions[0].Type, Class: dnsmessage.ClassINET}}
		echo := ofKind(asked, a("api.example.", "192.0.2.66", 60))
		echo.Response = false
		return []dnsmessage.Message{otherID, otherName, echo, ofKind(asked, a("api.example.", "192.0.2.1", 60))}
	}}
	addresses, err := server.newResolver().LookupNetIP(t.Context(), "api.example")
	if got := describe(addresses, err); got != "192.0.2.1" {
		t.Errorf("got %q, want the address of the true answer", got)
	}
}

// junkConn is a connection over which datagrams arrive that are no answer, and then nothing more.
type junkConn struct {
	net.Conn
	datagrams int
}

// Read implements net.Conn.
func (c *junkConn) Read(datagram []byte) (int, error) {
	if c.datagrams == 0 {
		return 0, io.EOF
	}
	c.datagrams--
	return copy(datagram, make([]byte, 12)), nil // a header that is no response
}

// Write implements net.Conn.
func (c *junkConn) Write(question []byte) (int, error) { return len(question), nil }

// Close implements net.Conn.
func (c *junkConn) Close() error { return nil }

// Others can flood the resolver.
func TestForgedAnswersCostNoMemory(t *testing.T) {
	r := New(netip.MustParseAddrPort("192.0.2.53:53"))
	asked := dnsmessage.Question{Name: dnsmessage.MustNewName("api.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	allocations := func(datagrams int) float64 {
		return testing.AllocsPerRun(10, func() {
			conn := &junkConn{datagrams: datagrams}
			r.dial = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
			if _, err := r.exchange(t.Context(), "udp", asked); !errors.Is(err, io.EOF) || conn.datagrams != 0 {
				t.Errorf("got %v with %d datagrams unread, want all read", err, conn.datagrams)
			}
		})
	}
	if none, many := allocations(0), allocations(1000); many > none+10 {
		t.Errorf("got %v allocations for 1000 forged answers, want as many as without them: %v", many, none)
	}
}

func TestErrorsOfTheServer(t *testing.T) {
	for code, want := range map[dnsmessage.RCode]string{
		dnsmessage.RCodeNameError:     "no such host",
		dnsmessage.RCodeServerFailure: "failed or refused",
		dnsmessage.RCodeRefused:       "failed or refused",
	} {
		server := &fakeServer{reply: func(_ string, asked dnsmessage.Message) []dnsmessage.Message {
			answer := answerTo(asked)
			answer.RCode = code
			return []dnsmessage.Message{answer}
		}}
		addresses, err := server.newResolver().LookupNetIP(t.Context(), "api.example")
		if got := describe(addresses, err); !strings.Contains(got, want) {
			t.Errorf("%v: got %q, want %q", code, got, want)
		}
	}
}

// The hosts file of every system knows localhost.
func TestTheHostsFileDoesNotCount(t *testing.T) {
	addresses, err := New(netip.MustParseAddrPort(brokertest.ServeDNS(t, "192.0.2.1"))).LookupNetIP(t.Context(), "localhost")
	if got := describe(addresses, err); got != "192.0.2.1" {
		t.Errorf("got %q, want what the server says", got)
	}
}

func FuzzParseAnswer(f *testing.F) {
	asked := dnsmessage.Question{Name: dnsmessage.MustNewName("api.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	question := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{asked}}
	valid := ofKind(question, cname("api.example.", "b.example."), a("b.example.", "192.0.2.1", 60))
	packed, err := valid.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, message []byte) {
		received, ok := parseAnswer(message, 7, asked)
		if !ok {
			return
		}
		var whole dnsmessage.Message
		if err := whole.Unpack(message); err == nil && whole.ID != 7 {
			t.Errorf("got an answer with the ID %d, want 7", whole.ID)
		}
		found := addressesIn(&received, asked)
		if len(found.addresses) > len(received.Answers) || found.ttl > maxTTL || found.ttl < 0 {
			t.Errorf("got %d addresses of %d records for %v", len(found.addresses), len(received.Answers), found.ttl)
		}
	})
}
