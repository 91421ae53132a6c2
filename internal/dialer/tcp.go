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

// connectionAttemptDelay is how long one address is tried before the next is tried too: RFC 8305 section 5.
const connectionAttemptDelay = 250 * time.Millisecond

// AddressFilteringTCPDialer opens TCP connections. Its fields must not be changed after the first call of DialContext, which is safe for
// concurrent use. The zero value uses the system's resolver.
type AddressFilteringTCPDialer struct {
	// Resolver looks up the addresses of the hosts passed to UseResolverFor, in place of the system's resolver; nil for none.
	Resolver *resolver.Resolver
	// Listeners are the addresses at which this program accepts connections. It does not connect to them: a hosts file or a
	// network alias has sent a server's name to the program itself.
	Listeners []net.Addr
	// Refused, if not nil, reports whether no connection may be opened to an address. It is asked about each address to which a
	// host name leads.
	Refused func(netip.Addr) bool

	hosts sync.Map // names in lower case
}

// UseResolverFor makes Resolver look up the addresses of hosts. It is safe for concurrent use.
func (d *AddressFilteringTCPDialer) UseResolverFor(hosts ...string) {
	for _, host := range hosts {
		d.hosts.Store(strings.ToLower(host), nil)
	}
}

// DialContext connects to a host and port, like that of net.Dialer. Its error wraps neterr.ErrLoop if the address is one of
// Listeners, and neterr.ErrAddressRefused if it is Refused.
func (d *AddressFilteringTCPDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.connect(ctx, network, address)
	if socket, ok := conn.(*net.TCPConn); ok {
		// The kernel's buffer of automatic size (up to 4 MiB) accepts new data only after a third has drained, which on a slow line
		// takes longer than the write timeout.
		_ = socket.SetWriteBuffer(256 << 10)
	}
	return conn, err
}

// connect is DialContext without the options of the socket.
func (d *AddressFilteringTCPDialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: stepTimeout, KeepAlive: 30 * time.Second, Control: d.control}
	host, port, err := net.SplitHostPort(address)
	if _, added := d.hosts.Load(strings.ToLower(host)); err != nil || d.Resolver == nil || !added {
		return dialer.DialContext(ctx, network, address)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return dialer.DialContext(ctx, network, address)
	}
	addresses, err := d.Resolver.LookupNetIP(ctx, host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return dialParallel(ctx, dialer.DialContext, network, interleaveFamilies(addresses), port)
}

// interleaveFamilies sorts addresses so that the two families alternate, IPv6 first: RFC 8305 section 4.
func interleaveFamilies(addresses []netip.Addr) []netip.Addr {
	var v6, v4, sorted []netip.Addr
	for _, address := range addresses {
		if address.Is4() {
			v4 = append(v4, address)
		} else {
			v6 = append(v6, address)
		}
	}
	for i := range addresses {
		if i < len(v6) {
			sorted = append(sorted, v6[i])
		}
		if i < len(v4) {
			sorted = append(sorted, v4[i])
		}
	}
	return sorted
}

// dialFunc is the type of net.Dialer.DialContext.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialParallel connects to the first address that accepts. It tries the next one when an address fails, or has not answered for a
// while.
func dialParallel(ctx context.Context, dial dialFunc, network string, addresses []netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel() // ends the other attempts
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(addresses))
	var failed error // the first one
	for begun, ended := 0, 0; ended < len(addresses); {
		var next <-chan time.Time
		if begun < len(addresses) {
			address := net.JoinHostPort(addresses[begun].String(), port)
			go func() {
				conn, err := dial(ctx, network, address)
				results <- result{conn, err}
			}()
			begun++
			next = time.After(connectionAttemptDelay)
		}
		select {
		case <-next:
		case r := <-results:
			ended++
			if r.err == nil {
				go func() {
					for range begun - ended {
						if late := <-results; late.err == nil {
							_ = late.conn.Close()
						}
					}
				}()
				return r.conn, nil
			}
			failed = cmp.Or(failed, r.err)
		}
	}
	return nil, failed
}

// control is for the field Control of net.Dialer: it is called before each attempt, with the address. What is checked here is what
// is connected to, so a name server cannot answer differently in between.
func (d *AddressFilteringTCPDialer) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil // not an address: net.Dialer does not call it with one
	}
	return d.Check(target)
}

// Check returns the error of DialContext for an address to which it does not connect; nil for others.
func (d *AddressFilteringTCPDialer) Check(target netip.AddrPort) error {
	for _, listener := range d.Listeners {
		own, ok := listener.(*net.TCPAddr)
		if ok && own.Port == int(target.Port()) && reaches(target.Addr(), own.AddrPort().Addr()) {
			return neterr.ErrLoop
		}
	}
	if d.Refused != nil && d.Refused(target.Addr()) {
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
