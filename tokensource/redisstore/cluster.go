package redisstore

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"
)

// maxRedirects is how often the nodes of a Cluster may refer to another one: a failover may happen in between.
const maxRedirects = 3

// isCluster reports whether the addresses are those of nodes of a Cluster.
func (o Options) isCluster() bool { return o.master == "" && len(o.addresses) > 1 }

// tryNodes calls try for the nodes of a Cluster until it succeeds for one: the preferred node, if there is one, and then those of the
// URL. Each leaves half of the time to the others. Without a Cluster, tryNodes calls try once. ctx must have a deadline.
func (o Options) tryNodes(ctx context.Context, preferred string, try func(ctx context.Context, node string) error) (err error) {
	nodes := o.addresses[:1]
	if o.isCluster() {
		nodes = slices.DeleteFunc(slices.Clone(o.addresses), func(node string) bool { return node == preferred })
		if preferred != "" {
			nodes = slices.Insert(nodes, 0, preferred)
		}
	}
	for i, node := range nodes {
		deadline, _ := ctx.Deadline()
		if i < len(nodes)-1 {
			deadline = time.Now().Add(time.Until(deadline) / 2)
		}
		brief, cancel := context.WithDeadline(ctx, deadline)
		failure := try(brief, node)
		cancel()
		if failure == nil {
			return nil
		}
		err = errors.Join(err, failure)
	}
	return err
}

// movedTo returns the address in "SLOT HOST:PORT", the rest of the error MOVED of a node. It has no brackets around an IPv6 address.
// Without a host, it is that of the node.
func movedTo(rest, node string) string {
	_, target, _ := strings.Cut(rest, " ")
	i := max(strings.LastIndexByte(target, ':'), 0)
	host, _, _ := net.SplitHostPort(node)
	return net.JoinHostPort(cmp.Or(target[:i], host), strings.TrimPrefix(target[i:], ":"))
}
