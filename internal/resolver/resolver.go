// Package resolver looks up the addresses of hosts at one DNS server, past the hosts file and the system's configuration, which
// may point to the program itself.
package resolver

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	// minTTL spares the server, and maxTTL follows a record that was wrong for a while.
	minTTL, maxTTL = time.Second, 5 * time.Minute
	// staleTTL is how long the last known addresses are used before a server that did not answer is asked again: each question then
	// takes seconds.
	staleTTL = 10 * time.Second
	// resolutionDelay is how long IPv6 addresses are awaited once IPv4 addresses are known, or the other way around.
	resolutionDelay = 50 * time.Millisecond
)

// Resolver asks a DNS server. It keeps the addresses of every host that it has looked up, so these should be few. It is safe for
// concurrent use.
type Resolver struct {
	server string
	dial   func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	known map[string]cacheEntry // by host name in lower case, with a final dot
}

type cacheEntry struct {
	addresses []netip.Addr
	until     time.Time // when the server is asked again
}

// New returns a Resolver that asks the DNS server at an address.
func New(server netip.AddrPort) *Resolver {
	return &Resolver{server: server.String(), dial: new(net.Dialer).DialContext, known: map[string]cacheEntry{}}
}

// LookupNetIP returns the IPv6 and IPv4 addresses of a host, at least one. They are kept as long as their TTL says; and if the
// server does not answer, the last known ones remain in use. Its errors are *net.DNSError, or that of ctx.
func (r *Resolver) LookupNetIP(ctx context.Context, host string) ([]netip.Addr, error) {
	name := strings.ToLower(strings.TrimSuffix(host, ".")) + "."
	r.mu.Lock()
	last := r.known[name]
	r.mu.Unlock()
	if time.Now().Before(last.until) {
		return last.addresses, nil
	}
	found, err := r.lookupBoth(ctx, name)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(last.addresses) == 0 || isNotFound(err):
		return nil, err
	default:
		found = addressesWithTTL{last.addresses, staleTTL}
	}
	r.mu.Lock()
	r.known[name] = cacheEntry{found.addresses, time.Now().Add(min(max(found.ttl, minTTL), maxTTL))}
	r.mu.Unlock()
	return found.addresses, nil
}

func isNotFound(err error) bool {
	var failed *net.DNSError
	return errors.As(err, &failed) && failed.IsNotFound
}

// lookupBoth asks for both types of records at the same time. One is enough: the other one then gets a moment (RFC 8305 section 3).
func (r *Resolver) lookupBoth(ctx context.Context, name string) (both addressesWithTTL, _ error) {
	type result struct {
		addressesWithTTL
		err error
	}
	results := make(chan result, len(addressRecordTypes))
	for _, recordType := range addressRecordTypes {
		go func() {
			found, err := r.query(ctx, name, recordType)
			results <- result{found, err}
		}()
	}
	var late <-chan time.Time // nil is never ready
	var failure error
	both.ttl = maxTTL
	for range addressRecordTypes {
		select {
		case got := <-results:
			switch {
			case len(got.addresses) > 0:
				both = addressesWithTTL{append(both.addresses, got.addresses...), min(both.ttl, got.ttl)}
				late = time.After(resolutionDelay)
			case got.err != nil && (failure == nil || isNotFound(failure)):
				failure = got.err // "no such host" counts only if both questions were answered
			}
		case <-late:
		}
	}
	if len(both.addresses) > 0 {
		return both, nil
	}
	return addressesWithTTL{}, cmp.Or(failure, r.lookupError(name, errNoAddress))
}

func (r *Resolver) lookupError(name string, reason *net.DNSError) error {
	err := *reason
	err.Name, err.Server = strings.TrimSuffix(name, "."), r.server
	return &err
}
