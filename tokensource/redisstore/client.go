package redisstore

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/gomodule/redigo/redis"

	"etrusted-broker/internal/neterr"
)

const (
	maxRunningScripts = 4                // of all accounts; the others wait
	maxIdleTime       = 30 * time.Second // shorter than the idle timeouts of most servers
)

// client runs scripts on a server, on the primary that Sentinels name, or on the nodes of a Cluster. It is safe for concurrent use.
type client struct {
	Options
	running chan struct{}      // has room for maxRunningScripts
	idle    chan idleConn      // has room for one
	open    context.Context    // done after close
	close   context.CancelFunc // may be called more than once
}

type idleConn struct {
	redis.Conn
	node  string
	since time.Time
}

func newClient(options Options) *client {
	c := &client{Options: options, running: make(chan struct{}, maxRunningScripts), idle: make(chan idleConn, 1)}
	c.open, c.close = context.WithCancel(context.Background())
	context.AfterFunc(c.open, func() { c.takeIdle("") })
	if options.scheme == "rediss" {
		_, _ = x509.SystemCertPool() // the first call reads hundreds of files, which would count as time of the first connection
	}
	return c
}

// run runs a script until ctx is done, which must have a deadline. last is the node of a Cluster that was asked last about these keys.
func (c *client) run(ctx context.Context, last *string, script *redis.Script, keysAndArgs []any) (reply any, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.open, cancel)()
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	err = c.tryNodes(ctx, *last, func(ctx context.Context, node string) (err error) {
		for range maxRedirects + 1 {
			*last = node
			reply, err = c.runOn(ctx, node, script, keysAndArgs)
			code, rest, _ := errorCode(err)
			if code != "MOVED" || !c.isCluster() {
				break
			}
			node = movedTo(rest, node)
		}
		return err
	})
	return reply, err
}

// runOn runs a script on one server. It tries again if the server has closed a connection while it was idle, or has become a replica
// since: then the Sentinels know another one. Scripts can be repeated.
func (c *client) runOn(ctx context.Context, node string, script *redis.Script, keysAndArgs []any) (any, error) {
	for {
		conn, isReused := c.takeIdle(node)
		if !isReused {
			var err error
			if conn, err = c.connect(ctx, node); err != nil {
				return nil, err
			}
		}
		reply, err := script.DoContext(ctx, conn, keysAndArgs...)
		if err == nil {
			c.keepIdle(idleConn{conn, node, time.Now()})
			return reply, nil
		}
		_ = conn.Close()
		if code, _, _ := errorCode(err); !isReused || code != "READONLY" && neterr.Describe("", err).Code != neterr.CodeConnectionClosed {
			return nil, err
		}
	}
}

// takeIdle returns the idle connection if it is to that node, and closes it otherwise.
func (c *client) takeIdle(node string) (conn redis.Conn, ok bool) {
	select {
	case idle := <-c.idle:
		if idle.node == node && time.Since(idle.since) < maxIdleTime {
			return idle.Conn, true
		}
		_ = idle.Close()
	default:
	}
	return nil, false
}

// keepIdle closes the connection if there is an idle one already.
func (c *client) keepIdle(conn idleConn) {
	select {
	case c.idle <- conn:
	default:
		_ = conn.Close()
	}
	if c.open.Err() != nil {
		c.takeIdle("")
	}
}

// connect connects to a node, or to the primary if there are Sentinels.
func (c *client) connect(ctx context.Context, node string) (conn redis.Conn, err error) {
	if c.master != "" {
		if node, err = c.primaryAddress(ctx); err != nil {
			return nil, err
		}
	}
	return c.dial(ctx, node, c.server, c.database)
}
