package redisstore

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strings"
	"time"
)

// maxRedirects is how often the nodes of a Cluster may refer to another one: a failover may happen in between.
const maxRedirects = 3

// isCluster reports whether the addresses are those of nodes of a Cluster.
func (o Options) isCluster() bool { return o.master == "" && len(o.addresses) > 1 }

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

// movedTo returns the address in "SLOT HOST:PORT", the rest of the error MOVED of a node. An IPv6 address may have no brackets. Without
// a host, it is that of the node.
func movedTo(rest, node string) string {
	_, target, _ := strings.Cut(rest, " ")
	i := max(strings.LastIndexByte(target, ':'), 0)
	host, _, _ := net.SplitHostPort(node)
	return net.JoinHostPort(cmp.Or(strings.Trim(target[:i], "[]"), host), strings.TrimPrefix(target[i:], ":"))
}
