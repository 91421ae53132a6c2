package dialer

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"etrusted-broker/internal/neterr"
	"etrusted-broker/internal/resolver"
)

// sendBuffer bounds the kernel's send buffer. A buffer of automatic size (up to 4 MiB) accepts new data only after a third has
// drained, which on a slow line takes longer than the write timeout.
const sendBuffer = 256 << 10

// attemptDelay is how long one address is tried before the next is tried too: RFC 8305 section 5.
const attemptDelay = 250 * time.Millisecond

// Network opens TCP connections. Its fields must not be changed after the first call of DialContext, which is safe for
// concurrent use. The zero value uses the system's resolver.
type Network struct {
	// Resolver looks up the addresses of the hosts that AddHosts has added, in place of the system's resolver; nil for none.
	Resolver *resolver.Resolver
	// Listeners are the addresses at which this program accepts connections. It does not connect to them: a hosts file or a
	// network alias has sent a server's name to the program itself.
	Listeners []net.Addr
	// Refused, if not nil, reports whether no connection may be opened to an address. It is asked about each address to which a
	// host name leads.
	Refused func(netip.Addr) bool

	hosts sync.Map // names in lower case
}

// AddHosts adds names whose addresses Resolver looks up. It is safe for concurrent use.
func (n *Network) AddHosts(names ...string) {
	for _, name := range names {
		n.hosts.Store(strings.ToLower(name), nil)
	}
}

// DialContext connects to a host and port, like that of net.Dialer. Its error wraps neterr.ErrLoop if the address is one of
// Listeners, and neterr.ErrAddressRefused if it is Refused.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := n.connect(ctx, network, address)
	if socket, ok := conn.(*net.TCPConn); ok {
		_ = socket.SetWriteBuffer(sendBuffer)
	}
	return conn, err
}

// connect is DialContext without the options of the socket.
func (n *Network) connect(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second, Control: n.control}
	host, port, err := net.SplitHostPort(address)
	if _, added := n.hosts.Load(strings.ToLower(host)); err != nil || n.Resolver == nil || !added {
		return dialer.DialContext(ctx, network, address)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return dialer.DialContext(ctx, network, address)
	}
	addresses, err := n.Resolver.LookupNetIP(ctx, host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return dialParallel(ctx, &dialer, network, interleave(addresses), port)
}

// interleave sorts addresses so that the two families alternate, IPv6 first: RFC 8305 section 4.
func interleave(addresses []netip.Addr) []netip.Addr {
	position := map[netip.Addr]int{}
	var v4, v6 int
	for _, address := range addresses {
		if address.Is4() {
			position[address] = 2*v4 + 1
			v4++
		} else {
			position[address] = 2 * v6
			v6++
		}
	}
	sorted := slices.Clone(addresses)
	slices.SortFunc(sorted, func(a, b netip.Addr) int { return cmp.Compare(position[a], position[b]) })
	return sorted
}

// dialParallel connects to the first address that accepts. It tries the next one when an address fails, or has not answered for a
// while.
func dialParallel(ctx context.Context, dialer *net.Dialer, network string, addresses []netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel() // ends the other attempts
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(addresses))
	next := time.NewTimer(0)
	defer next.Stop()
	var failed error // the first one
	for begun, ended := 0, 0; ended < len(addresses); {
		select {
		case <-next.C:
			if begun < len(addresses) {
				address := net.JoinHostPort(addresses[begun].String(), port)
				go func() {
					conn, err := dialer.DialContext(ctx, network, address)
					results <- result{conn, err}
				}()
				begun++
				next.Reset(attemptDelay)
			}
		case r := <-results:
			if r.err == nil {
				go func() {
					for ; ended+1 < begun; ended++ {
						if late := <-results; late.conn != nil {
							_ = late.conn.Close()
						}
					}
				}()
				return r.conn, nil
			}
			ended++
			failed = cmp.Or(failed, r.err)
			next.Reset(0)
		}
	}
	return nil, failed
}

// control is for the field Control of net.Dialer: it is called before each attempt, with the address. What is checked here is what
// is connected to, so a name server cannot answer differently in between.
func (n *Network) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil // not an address: net.Dialer does not call it with one
	}
	return n.Check(target)
}

// Check returns the error of DialContext for an address to which it does not connect; nil for others.
func (n *Network) Check(target netip.AddrPort) error {
	for _, listener := range n.Listeners {
		if own, ok := addrPort(listener); ok && own.Port() == target.Port() && reaches(target.Addr(), own.Addr()) {
			return neterr.ErrLoop
		}
	}
	if n.Refused != nil && n.Refused(target.Addr()) {
		return neterr.ErrAddressRefused
	}
	return nil
}

// reaches reports whether a connection to an address arrives at a listener's address.
func reaches(address, listener netip.Addr) bool {
	address, listener = address.Unmap().WithZone(""), listener.Unmap().WithZone("")
	if address.IsUnspecified() {
		return true // Linux takes it for the machine itself, at whatever address
	}
	if !listener.IsUnspecified() {
		return address == listener
	}
	if address.IsLoopback() {
		return true
	}
	interfaces, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(interfaces, func(one net.Addr) bool {
		prefix, err := netip.ParsePrefix(one.String())
		return err == nil && prefix.Addr().WithZone("") == address
	})
}

func addrPort(a net.Addr) (netip.AddrPort, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	return tcp.AddrPort(), true
}
