package brokertest

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// ServeDNS runs a DNS server that answers each question with the given addresses, and returns its address.
func ServeDNS(t *testing.T, addresses ...string) string {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
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
			var message dnsmessage.Message
			if message.Unpack(buffer[:n]) != nil || len(message.Questions) != 1 {
				continue
			}
			message.Response = true
			for _, text := range addresses {
				if body := addressRecord(netip.MustParseAddr(text)); body.Header.Type == message.Questions[0].Type {
					body.Header.Name, body.Header.Class, body.Header.TTL = message.Questions[0].Name, dnsmessage.ClassINET, 60
					message.Answers = append(message.Answers, body)
				}
			}
			packed, _ := message.Pack()
			_, _ = conn.WriteTo(packed, client)
		}
	}()
	return conn.LocalAddr().String()
}

func addressRecord(address netip.Addr) dnsmessage.Resource {
	if address.Is4() {
		return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Type: dnsmessage.TypeA}, Body: &dnsmessage.AResource{A: address.As4()}}
	}
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Type: dnsmessage.TypeAAAA}, Body: &dnsmessage.AAAAResource{AAAA: address.As16()}}
}
