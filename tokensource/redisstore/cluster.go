package redisstore

import (
	"cmp"
	"net"
	"strings"
)

// maxRedirects is how often the nodes of a Cluster may refer to another one: a failover may happen in between.
const maxRedirects = 3

// isCluster reports whether the addresses are those of nodes of a Cluster.
func (o Options) isCluster() bool { return o.master == "" && len(o.addresses) > 1 }

// movedTo returns the address in "SLOT HOST:PORT", the rest of the error MOVED of a node. An IPv6 address may have no brackets. Without
// a host, it is that of the node.
func movedTo(rest, node string) string {
	_, target, _ := strings.Cut(rest, " ")
	i := max(strings.LastIndexByte(target, ':'), 0)
	host, _, _ := net.SplitHostPort(node)
	return net.JoinHostPort(cmp.Or(strings.Trim(target[:i], "[]"), host), strings.TrimPrefix(target[i:], ":"))
}
