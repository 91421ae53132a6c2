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

// opTimeout limits one operation, including the connection. An app may be waiting for the token.
const opTimeout = time.Second

// Options say how to connect to a store. They contain its password and must not be printed.
type Options struct {
	universal redis.UniversalOptions
	// Plaintext means that the connection, with the store's password, crosses a network unencrypted.
	Plaintext bool
}

// Address returns where the store is, without user and password: HOST:PORT, several separated by commas, or a path.
func (o Options) Address() string { return strings.Join(o.universal.Addrs, ",") }

// errURL quotes nothing: the password may be anywhere.
var errURL = errors.New("must be redis://USER:PASSWORD@HOST:PORT/DB, rediss://… for TLS, or unix:///path, and may have the parameters addr=HOST:PORT and, " +
	"for Sentinel, master_name, username and password. In a password, percent-encode everything except letters, digits, - . _ and ~")

// ParseURL parses the address of a store:
//
//	redis://USER:PASSWORD@HOST:PORT/DB    one server; rediss:// for TLS, unix:///path for its socket
//	…?addr=HOST:PORT&addr=…               more nodes: a Cluster, which has only database 0
//	…?master_name=NAME                    the addresses are Sentinels
//
// With Sentinels, USER and PASSWORD are theirs, and the parameters username and password those of the servers, as in go-redis.
func ParseURL(text string) (Options, error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Fragment != "" || (u.Hostname() == "") != (u.Scheme == "unix") {
		return Options{}, errURL
	}
	query, err := url.ParseQuery(u.RawQuery)
	sentinel := query.Get("master_name") != ""
	for name := range query {
		if u.Scheme == "unix" || name != "addr" && (!sentinel || !slices.Contains([]string{"master_name", "username", "password"}, name)) {
			return Options{}, errURL
		}
	}
	u.RawQuery = "" // go-redis would set options that are set here
	parsed, err2 := redis.ParseURL(u.String())
	if err != nil || err2 != nil || parsed.DB < 0 || parsed.DB > 0 && !sentinel && query.Has("addr") {
		return Options{}, errURL
	}
	o := redis.UniversalOptions{
		Username: parsed.Username, Password: parsed.Password, DB: parsed.DB, Dialer: dialer(nil), Protocol: 2, DisableIdentity: true,
		DialTimeout: opTimeout, ReadTimeout: opTimeout, WriteTimeout: opTimeout, ContextTimeoutEnabled: true,
		DialerRetries: 1, // health decides when to retry
		// The retry is for a connection that the server closed while it was idle; with one of those, it finds no second one.
		MaxRetries: 1, MaxIdleConns: 1, ConnMaxIdleTime: 30 * time.Second,
		PoolSize: 4, ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10, // for all accounts
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if sentinel {
		o.MasterName, o.SentinelUsername, o.SentinelPassword = query.Get("master_name"), o.Username, o.Password
		o.Username, o.Password = query.Get("username"), query.Get("password")
	}
	if u.Scheme == "rediss" {
		o.Dialer = dialer(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	o.Addrs = []string{parsed.Addr}
	for _, address := range query["addr"] {
		node, err := redis.ParseURL("redis://" + address)
		if err != nil || strings.ContainsAny(address, "@/?#") || address == "" {
			return Options{}, errURL
		}
		o.Addrs = append(o.Addrs, node.Addr)
	}
	plaintext := false
	for _, address := range o.Addrs {
		host, port, err := net.SplitHostPort(address)
		if u.Scheme != "unix" && (err != nil || host == "" || port == "0" || strings.ContainsAny(host, ", []")) {
			return Options{}, errURL
		}
		plaintext = plaintext || u.Scheme == "redis" && host != "localhost" && !net.ParseIP(host).IsLoopback()
	}
	return Options{universal: o, Plaintext: plaintext}, nil
}

func dialer(secure *tls.Config) func(context.Context, string, string) (net.Conn, error) {
	// Below the idle timeouts of most firewalls. A broken connection is noticed after a minute.
	plain := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	dial := plain.DialContext
	if secure != nil {
		dial = (&tls.Dialer{NetDialer: plain, Config: secure}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, opTimeout) // including the handshake
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &limitedConn{Conn: conn}, nil
	}
}

// maxReply limits a reply, in bytes and in 64 bytes for each unit of an announced length. The largest reply is the list of a
// Cluster's commands.
const maxReply = 8 << 20

// limitedConn limits the size of a reply. go-redis allocates whatever length a reply announces, and reads nested lists
// recursively, so a few bytes of a hostile store could end this process.
type limitedConn struct {
	net.Conn
	left   int  // of the current reply
	digits bool // a length is being read: a number that follows a type byte of RESP
	length int
}

// SetReadDeadline begins a reply: go-redis calls it before each one.
func (c *limitedConn) SetReadDeadline(t time.Time) error {
	c.left = maxReply
	return c.Conn.SetReadDeadline(t)
}

func (c *limitedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for _, b := range p[:n] {
		switch {
		case strings.IndexByte("$=!*~>%|", b) >= 0:
			c.digits, c.length = true, 0
		case c.digits && '0' <= b && b <= '9':
			c.length = min(10*c.length+int(b-'0'), maxReply)
		case c.digits:
			c.digits, c.left = false, c.left-64*c.length
		}
	}
	if c.left -= n; c.left < 0 {
		return 0, errInvalidReply
	}
	return n, err
}
