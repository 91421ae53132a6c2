package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const operationTimeout = time.Second // for one operation, including the connection: an app may be waiting for the token

// Options say how to connect to a store. They contain its password and must not be printed.
type Options struct {
	universal redis.UniversalOptions
	Plaintext bool // the connection, with the store's password, crosses a network unencrypted
}

// Address returns where the store is, without user and password: HOST:PORT, several separated by commas, or a path.
func (o Options) Address() string { return strings.Join(o.universal.Addrs, ",") }

// errInvalidURL quotes nothing: the password may be anywhere.
var errInvalidURL = errors.New("must be redis://USER:PASSWORD@HOST:PORT/DB, rediss://… for TLS, or unix:///path, and may have the parameters addr=HOST:PORT and, " +
	"for Sentinel, master_name, username and password. In a password, percent-encode everything except letters, digits, - . _ and ~")

// ParseURL parses the address of a store. docs/store.md has the forms. Several addresses are those of Sentinels if there is a
// master_name, and otherwise those of a Cluster, which has only database 0.
func ParseURL(text string) (Options, error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Fragment != "" || (u.Hostname() == "") != (u.Scheme == "unix") {
		return Options{}, errInvalidURL
	}
	query, err := url.ParseQuery(u.RawQuery)
	for name := range query {
		if u.Scheme == "unix" || !slices.Contains([]string{"addr", "master_name", "username", "password"}, name) {
			return Options{}, errInvalidURL
		}
	}
	u.RawQuery = "" // go-redis would set options that are set here
	parsed, err2 := redis.ParseURL(u.String())
	master := query.Get("master_name")
	if err != nil || err2 != nil || parsed.DB < 0 || parsed.DB > 0 && master == "" && query.Has("addr") {
		return Options{}, errInvalidURL
	}
	o := redis.UniversalOptions{
		Addrs: []string{parsed.Addr}, Username: parsed.Username, Password: parsed.Password, DB: parsed.DB,
		Dialer: newDialFunc(u.Scheme), DialTimeout: operationTimeout, ReadTimeout: operationTimeout, WriteTimeout: operationTimeout, ContextTimeoutEnabled: true,
		Protocol: 2, DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		DialerRetries: 1, // ready decides when to retry
		// The retry is for a connection that the server closed while it was idle; with one of those, it finds no second one.
		MaxRetries: 1, MaxIdleConns: 1, ConnMaxIdleTime: 30 * time.Second,
		PoolSize: 4, ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10, // for all accounts
	}
	if master != "" {
		o.MasterName, o.SentinelUsername, o.SentinelPassword = master, o.Username, o.Password
		o.Username, o.Password = query.Get("username"), query.Get("password")
	}
	for _, address := range query["addr"] {
		node, err := redis.ParseURL("redis://" + address)
		if err != nil || address == "" || strings.ContainsAny(address, "@/?#") {
			return Options{}, errInvalidURL
		}
		o.Addrs = append(o.Addrs, node.Addr)
	}
	plaintext := false
	for _, address := range o.Addrs {
		host, port, err := net.SplitHostPort(address)
		if u.Scheme != "unix" && (err != nil || port == "0" || strings.ContainsAny(host, ", []")) {
			return Options{}, errInvalidURL
		}
		plaintext = plaintext || u.Scheme == "redis" && host != "localhost" && !net.ParseIP(host).IsLoopback()
	}
	return Options{universal: o, Plaintext: plaintext}, nil
}

// newDialFunc connects within operationTimeout, TLS handshake included. The keep-alives are more frequent than the idle timeouts
// of most firewalls, so a broken connection is noticed after a minute.
func newDialFunc(scheme string) func(context.Context, string, string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: operationTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	dial := plain.DialContext
	if scheme == "rediss" {
		dial = (&tls.Dialer{NetDialer: plain, Config: &tls.Config{MinVersion: tls.VersionTLS12}}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &replyLimitedConn{Conn: conn}, err
	}
}

// maxReplySize limits a reply, in bytes and in 64 bytes for each unit of an announced length. The longest lists a Cluster's commands.
const maxReplySize = 8 << 20

// replyLimitedConn limits the size of a reply. go-redis allocates whatever length a reply announces, and reads nested lists
// recursively, so a few bytes of a hostile store could end this process.
type replyLimitedConn struct {
	net.Conn
	left   int // of the current reply
	length int // that is being read: a number that follows a type byte of RESP; -1: none
}

// SetReadDeadline begins a reply: go-redis calls it before each one.
func (c *replyLimitedConn) SetReadDeadline(t time.Time) error {
	c.left = maxReplySize
	return c.Conn.SetReadDeadline(t)
}

func (c *replyLimitedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for _, b := range p[:n] {
		switch {
		case strings.IndexByte("$=!*~>%|", b) >= 0:
			c.length = 0
		case c.length >= 0 && '0' <= b && b <= '9':
			c.length = min(10*c.length+int(b-'0'), maxReplySize)
		case c.length >= 0:
			c.length, c.left = -1, c.left-64*c.length
		}
	}
	if c.left -= n; c.left < 0 {
		return 0, errInvalidReply
	}
	return n, err
}
