package redisstore

import (
	"context"
	_ "embed" // of the scripts
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"etrusted-broker/tokensource"
)

// What must happen at once happens in scripts, which the store runs one after the other. They return lists of strings.
var (
	//go:embed get.lua
	getText string
	//go:embed swap.lua
	swapText string
	//go:embed put.lua
	putText string

	getScript, swapScript, putScript = redis.NewScript(getText), redis.NewScript(swapText), redis.NewScript(putText)
)

// maxLeaseAge is how old a lease may be: more than the longest pause, and the difference of two clocks. An attacker who can
// write to the store may have kept it.
const maxLeaseAge = time.Minute

// entry implements tokensource.Entry.
type entry struct {
	*Store
	sealer
	tokenKey, leaseKey string // with the name in braces, so that a Cluster keeps them on one node
	onChange           func()

	fence uint64 // for the next lease
	lease string // as this broker has seen or set it last
}

// Get implements tokensource.Entry.
func (e *entry) Get(ctx context.Context) (tokensource.Shared, error) {
	reply, err := e.run(ctx, getScript, 6, []string{e.tokenKey, e.leaseKey})
	if err != nil {
		return tokensource.Shared{}, err
	}
	e.fence, e.lease = parseNumber(reply[0]), reply[4]
	shared, now := tokensource.Shared{FencingToken: e.fence}, time.Now()
	if r, ok := e.open(e.tokenKey, reply[2]); ok && r.FencingToken == parseNumber(reply[1]) {
		remaining := min(r.Lifetime, r.Issued.Add(r.Lifetime).Sub(now), parseDuration(reply[3]))
		shared.Token = &tokensource.SharedToken{
			AccessToken: tokensource.NewSecret(r.AccessToken), FencingToken: r.FencingToken, Issued: r.Issued, Lifetime: r.Lifetime, Remaining: remaining,
		}
	}
	if r, ok := e.open(e.leaseKey, e.lease); ok && now.Sub(r.Issued).Abs() < maxLeaseAge {
		shared.Lease = &tokensource.Lease{FencingToken: r.FencingToken, Failure: r.Failure, Failures: r.Failures, Remaining: parseDuration(reply[5])}
	}
	return shared, nil
}

// Acquire implements tokensource.Entry.
func (e *entry) Acquire(ctx context.Context, ttl time.Duration) (bool, error) {
	return e.swap(ctx, tokensource.Lease{FencingToken: e.fence, Remaining: ttl})
}

// Release implements tokensource.Entry.
func (e *entry) Release(ctx context.Context, outcome tokensource.Lease) error {
	_, err := e.swap(ctx, outcome)
	return err
}

// swap replaces the lease if it has not changed. An invalid lease is replaced too, because only its holder and a broker that has
// judged it call swap.
func (e *entry) swap(ctx context.Context, lease tokensource.Lease) (bool, error) {
	old := e.lease
	e.lease = e.seal(e.leaseKey, record{FencingToken: lease.FencingToken, Issued: time.Now(), Failure: lease.Failure, Failures: lease.Failures})
	reply, err := e.run(ctx, swapScript, 1, []string{e.leaseKey}, old, e.lease, lease.Remaining.Milliseconds())
	return err == nil && reply[0] == "1", err
}

// Put implements tokensource.Entry.
func (e *entry) Put(ctx context.Context, token tokensource.SharedToken) error {
	sealed := e.seal(e.tokenKey, record{FencingToken: token.FencingToken, Issued: token.Issued, AccessToken: token.AccessToken.Reveal(), Lifetime: token.Lifetime})
	// By the store's clock, the lifetime began at its fencing token, which was before the token was requested.
	expires := token.FencingToken/1000 + uint64(token.Lifetime.Milliseconds()) //nolint:gosec // G115: a lifetime is positive.
	_, err := e.run(ctx, putScript, 1, []string{e.tokenKey, e.leaseKey}, token.FencingToken, sealed, expires, e.lease, channel, e.name)
	return err
}

// parseNumber parses a number of the store; 0 if it is invalid. Lua calculates with doubles, so it has 53 bits.
func parseNumber(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 53)
	if err != nil {
		return 0
	}
	return n
}

// parseDuration parses milliseconds, two days at most: no token lives longer.
func parseDuration(text string) time.Duration {
	return time.Duration(min(parseNumber(text), 48*60*60*1000)) * time.Millisecond //nolint:gosec // G115: bounded.
}
