package resolver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// addressRecordTypes are the types of the records with addresses.
var addressRecordTypes = [...]dnsmessage.Type{dnsmessage.TypeAAAA, dnsmessage.TypeA}

const (
	attemptTimeout = 2 * time.Second
	attempts       = 2   // UDP loses messages
	maxUDPMessage  = 512 // bytes, without extensions: RFC 1035 section 4.2.1
	maxAliases     = 8   // CNAME records that are followed: a chain can be circular
)

var (
	errNoAnswer        = &net.DNSError{Err: "the DNS server did not answer", IsTimeout: true, IsTemporary: true}
	errBadAnswer       = &net.DNSError{Err: "the answer of the DNS server is malformed"}
	errFailedOrRefused = &net.DNSError{Err: "the DNS server failed or refused", IsTemporary: true}
	errNoAddress       = &net.DNSError{Err: "the host has no address", IsNotFound: true}
	errNoSuchHost      = &net.DNSError{Err: "no such host", IsNotFound: true}
	errInvalidName     = &net.DNSError{Err: "the host is not a domain name"}
)

type addressesWithTTL struct {
	addresses []netip.Addr
	ttl       time.Duration // of the record, or alias, that expires first
}

// query asks one question: over UDP, and over TCP if the answer is too long for it (RFC 7766 section 5).
func (r *Resolver) query(ctx context.Context, name string, kind dnsmessage.Type) (addressesWithTTL, error) {
	parsed, err := dnsmessage.NewName(name)
	if err != nil {
		return addressesWithTTL{}, r.lookupError(name, errInvalidName)
	}
	asked := dnsmessage.Question{Name: parsed, Type: kind, Class: dnsmessage.ClassINET}
	reason := errNoAnswer
	for range attempts {
		received, err := r.exchange(ctx, "udp", asked)
		if err == nil && received.Truncated {
			received, err = r.exchange(ctx, "tcp", asked)
		}
		if err != nil {
			if !errors.As(err, &reason) {
				reason = errNoAnswer
			}
			continue
		}
		switch received.RCode {
		case dnsmessage.RCodeSuccess:
			return addressesIn(&received, asked), nil
		case dnsmessage.RCodeNameError:
			return addressesWithTTL{}, r.lookupError(name, errNoSuchHost)
		default:
			reason = errFailedOrRefused
		}
	}
	return addressesWithTTL{}, r.lookupError(name, reason)
}

// exchange sends a question and returns the answer to it.
func (r *Resolver) exchange(ctx context.Context, network string, asked dnsmessage.Question) (dnsmessage.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	conn, err := r.dial(ctx, network, r.server)
	if err != nil {
		return dnsmessage.Message{}, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // ends a blocked read
	defer stop()
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails
	id := binary.BigEndian.Uint16(random[:])
	request := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{asked},
	}
	packed, err := request.Pack()
	if err != nil {
		return dnsmessage.Message{}, err
	}
	if network == "tcp" {
		return exchangeOverTCP(conn, packed, id, asked)
	}
	return exchangeOverUDP(conn, packed, id, asked)
}

// exchangeOverUDP skips what is no answer to the question. Over UDP, others can send forged answers, in the hope to be faster than the
// server: RFC 5452.
func exchangeOverUDP(conn net.Conn, question []byte, id uint16, asked dnsmessage.Question) (dnsmessage.Message, error) {
	if _, err := conn.Write(question); err != nil {
		return dnsmessage.Message{}, err
	}
	buffer := make([]byte, maxUDPMessage)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return dnsmessage.Message{}, err
		}
		if received, ok := parseAnswer(buffer[:n], id, asked); ok {
			return received, nil
		}
	}
}

// exchangeOverTCP sends and expects a length of two bytes before each message: RFC 1035 section 4.2.2.
func exchangeOverTCP(conn net.Conn, question []byte, id uint16, asked dnsmessage.Question) (dnsmessage.Message, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(question))) //nolint:gosec // a name has at most 255 bytes
	if _, err := conn.Write(append(framed, question...)); err != nil {
		return dnsmessage.Message{}, err
	}
	var length uint16
	if err := binary.Read(conn, binary.BigEndian, &length); err != nil {
		return dnsmessage.Message{}, err
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(conn, message); err != nil {
		return dnsmessage.Message{}, err
	}
	received, ok := parseAnswer(message, id, asked)
	if !ok || received.Truncated {
		return dnsmessage.Message{}, errBadAnswer
	}
	return received, nil
}

// parseAnswer parses a message, and reports whether it answers the question. Of a truncated one only the header counts.
func parseAnswer(message []byte, id uint16, asked dnsmessage.Question) (received dnsmessage.Message, ok bool) {
	var parser dnsmessage.Parser
	header, err := parser.Start(message)
	if err != nil || header.ID != id || !header.Response {
		return received, false
	}
	received.Header = header
	questions, err := parser.AllQuestions()
	if err != nil || len(questions) != 1 {
		return received, false
	}
	if q := questions[0]; q.Type != asked.Type || q.Class != asked.Class || !sameName(q.Name, asked.Name) {
		return received, false
	}
	if header.Truncated {
		return received, true
	}
	received.Answers, err = parser.AllAnswers()
	return received, err == nil
}

// sameName compares names in any case: RFC 4343.
func sameName(a, b dnsmessage.Name) bool { return strings.EqualFold(a.String(), b.String()) }

// addressesIn returns the addresses of the host, or of that for which its name is an alias: RFC 1034 section 3.6.2.
func addressesIn(received *dnsmessage.Message, asked dnsmessage.Question) addressesWithTTL {
	found := addressesWithTTL{ttl: maxTTL}
	name := asked.Name
	for range maxAliases {
		var alias *dnsmessage.Name
		for _, record := range received.Answers {
			if record.Header.Class != dnsmessage.ClassINET || !sameName(record.Header.Name, name) {
				continue // others may not add addresses: cache poisoning
			}
			switch body := record.Body.(type) {
			case *dnsmessage.AResource:
				found.addresses = append(found.addresses, netip.AddrFrom4(body.A))
			case *dnsmessage.AAAAResource:
				found.addresses = append(found.addresses, netip.AddrFrom16(body.AAAA).Unmap())
			case *dnsmessage.CNAMEResource:
				alias = &body.CNAME
			default:
				continue
			}
			found.ttl = min(found.ttl, time.Duration(record.Header.TTL)*time.Second)
		}
		if alias == nil || len(found.addresses) > 0 {
			break
		}
		name = *alias
	}
	return found
}
