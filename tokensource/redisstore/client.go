package redisstore

import (
	"context"
	"crypto/x509"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"etrusted-broker/internal/neterr"
)

// maxRunningScripts is for all accounts; the others wait, and that counts as time of the store. It is twice the number of token requests
// that start at a time.
const maxRunningScripts = 16

// client runs scripts on a server, on the primary that Sentinels name, or on the nodes of a Cluster. It connects for each script: an
// account needs a few in as many minutes, and on a connection that is kept, a store could send a reply before there is a request, and
// it would be taken for the reply to the next script. It is safe for concurrent use.
type client struct {
	Options
	working atomic.Int64       // the index of the address that worked last
	running chan struct{}      // has room for maxRunningScripts
	open    context.Context    // done after close
	close   context.CancelFunc // may be called more than once
}

func newClient(options Options) *client {
	c := &client{Options: options, running: make(chan struct{}, maxRunningScripts)}
	c.open, c.close = context.WithCancel(context.Background())
	if options.scheme == "rediss" {
		_, _ = x509.SystemCertPool() // the first call reads hundreds of files, which would count as time of the first connection
	}
	return c
}

// run runs a script until ctx is done, which must have a deadline.
func (c *client) run(ctx context.Context, script *redis.Script, keysAndArgs []any) (reply any, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.open, cancel)()
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	err = c.tryAddresses(ctx, func(ctx context.Context, address string) (err error) {
		for range maxRedirects + 1 {
			reply, err = c.runOn(ctx, address, script, keysAndArgs)
			code, rest, _ := errorCode(err)
			if code != "MOVED" || !c.isCluster() {
				return err
			}
			address = movedTo(rest, address)
		}
		return errInvalidReply
	})
	return reply, err
}

// tryAddresses calls try for the addresses in the URL until it succeeds for one. It begins with the one that worked last; each leaves
// half of the time to the others. ctx must have a deadline.
func (c *client) tryAddresses(ctx context.Context, try func(ctx context.Context, address string) error) (err error) {
	first, n := int(c.working.Load()), len(c.addresses)
	for i := range n {
		at := (first + i) % n
		deadline, _ := ctx.Deadline()
		if i < n-1 {
			deadline = time.Now().Add(time.Until(deadline) / 2)
		}
		brief, cancel := context.WithDeadline(ctx, deadline)
		failure := try(brief, c.addresses[at])
		cancel()
		if failure == nil {
			c.working.Store(int64(at))
			return nil
		}
		err = errors.Join(err, failure)
	}
	return err
}

// runOn runs a script on one server, and once more if that closes the connection instead of replying: scripts can be repeated.
func (c *client) runOn(ctx context.Context, address string, script *redis.Script, keysAndArgs []any) (any, error) {
	for repeated := false; ; repeated = true {
		conn, err := c.connect(ctx, address)
		if err != nil {
			return nil, err
		}
		reply, err := script.DoContext(ctx, conn, keysAndArgs...)
		_ = conn.Close()
		if err == nil || repeated || neterr.Describe("", err).Code != neterr.CodeConnectionClosed {
			return reply, err
		}
	}
}

// connect connects to an address, or to the primary that the Sentinel there names.
func (c *client) connect(ctx context.Context, address string) (conn redis.Conn, err error) {
	if c.master != "" {
		if address, err = c.askSentinel(ctx, address); err != nil {
			return nil, err
		}
	}
	return c.dial(ctx, address, c.server, c.database)
}
