package brokertest

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// NoDNSReply is the code of a DNS server that does not answer.
const NoDNSReply dnsmessage.RCode = 1 << 15

// ServeDNS runs a DNS server that answers each question with the given addresses, and returns its address.
func ServeDNS(t *testing.T, addresses ...string) string {
	t.Helper()
	return ServeDNSAt(t, "127.0.0.1:0", func(string) ([]string, dnsmessage.RCode) { return addresses, dnsmessage.RCodeSuccess })
}

// ServeDNSAt runs a DNS server at an address, and returns that address with the port. lookup returns the addresses of a name, which
// ends in a dot, and the response code.
func ServeDNSAt(t *testing.T, address string, lookup func(name string) ([]string, dnsmessage.RCode)) string {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 512)
		for {
			n, client, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := dnsReply(buffer[:n], lookup); reply != nil {
				_, _ = conn.WriteTo(reply, client)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// dnsReply returns the reply to a query; nil for none.
func dnsReply(query []byte, lookup func(name string) ([]string, dnsmessage.RCode)) []byte {
	var message dnsmessage.Message
	if message.Unpack(query) != nil || len(message.Questions) != 1 {
		return nil
	}
	asked := message.Questions[0]
	addresses, code := lookup(asked.Name.String())
	if code == NoDNSReply {
		return nil
	}
	message.Response, message.RecursionAvailable, message.RCode, message.Additionals = true, true, code, nil
	for _, text := range addresses {
		if body := addressRecord(netip.MustParseAddr(text)); body.Header.Type == asked.Type {
			body.Header.Name, body.Header.Class, body.Header.TTL = asked.Name, dnsmessage.ClassINET, 60
			message.Answers = append(message.Answers, body)
		}
	}
	reply, _ := message.Pack()
	return reply
}

func addressRecord(address netip.Addr) dnsmessage.Resource {
	if address.Is4() {
		return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Type: dnsmessage.TypeA}, Body: &dnsmessage.AResource{A: address.As4()}}
	}
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Type: dnsmessage.TypeAAAA}, Body: &dnsmessage.AAAAResource{AAAA: address.As16()}}
}

// DNSResolver returns a resolver that asks only the DNS server at an address.
func DNSResolver(address string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", address)
	}}
}
