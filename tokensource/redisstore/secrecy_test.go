package redisstore_test

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/tokensource"
)

// TestStoreSeesNoSecret looks at every byte on the wire, and at what the server shows of them.
func TestStoreSeesNoSecret(t *testing.T) {
	t.Parallel()
	s := start(t)
	monitor := &brokertest.LogBuffer{}
	conn, err := net.Dial(s.network, s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(conn)
	if ok, err := lines.ReadString('\n'); err != nil || ok != "+OK\r\n" {
		t.Fatal(ok, err)
	}
	var watching sync.WaitGroup
	watching.Go(func() { _, _ = lines.WriteTo(monitor) })

	wire := &brokertest.LogBuffer{}
	proxy := newProxy(t, s, wire)
	one, other := newBroker(t, proxy.url).entry(), newBroker(t, s.url).entry()
	fence := lead(t, one, time.Minute)
	failure := &tokensource.RefreshError{Outcome: tokensource.OutcomeRejected, Reason: "canary-reason", Advice: "canary-advice"}
	if err := one.Release(context.Background(), tokensource.Lease{FencingToken: fence, Failure: failure, Remaining: time.Minute}); err != nil {
		t.Fatal(err)
	}
	get(t, other)
	s.do("DEL", s.key(":lease"))
	token := newToken(lead(t, one, time.Minute))
	put(t, one, token)
	first := s.do("HGET", s.key(":token"), "token").(string)
	put(t, one, token)
	if again := s.do("HGET", s.key(":token"), "token").(string); again == first || len(again) != len(first) {
		t.Error("the same token is sealed in the same way twice, which shows that it has not changed")
	}
	wantToken(t, get(t, one).Token, token)
	key := s.key(":token")
	brokertest.Eventually(t, "the monitor has seen it", func() bool {
		return strings.Contains(monitor.String(), key) && strings.Contains(wire.String(), key)
	})

	seen := strings.ToLower(wire.String() + monitor.String() + fmt.Sprint(s.do("CLIENT", "LIST")) + fmt.Sprint(s.do("KEYS", "*")))
	if len(seen) < 2000 {
		t.Fatalf("only %d bytes were seen", len(seen))
	}
	for _, secret := range []string{clientID, clientSecret, accessToken, token.AccessToken.Reveal(), "canary"} {
		md, s1, s2, s5 := md5.Sum([]byte(secret)), sha1.Sum([]byte(secret)), sha256.Sum256([]byte(secret)), sha512.Sum512([]byte(secret))
		for _, sum := range [][]byte{[]byte(secret), md[:], s1[:], s2[:], s5[:]} {
			for _, shown := range []string{string(sum), hex.EncodeToString(sum)[:12], base64.StdEncoding.EncodeToString(sum)[:8]} {
				if strings.Contains(seen, strings.ToLower(shown)) {
					t.Errorf("the store sees %q, or a sum of it", secret)
				}
			}
		}
	}
	for _, name := range s.keys("") {
		if !strings.HasPrefix(name, "etrusted-broker:{") {
			t.Errorf("key %q is outside of what access rules name", name)
		}
	}
	_ = conn.Close()
	watching.Wait()
}
