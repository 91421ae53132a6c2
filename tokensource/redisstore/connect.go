package redisstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

const operationTimeout = time.Second // for one operation, including the connection: an app may be waiting for the token

// Options say how to connect to a store. They contain its password and must not be printed.
type Options struct {
	scheme    string   // redis, rediss or unix
	addresses []string // of Sentinels if there is a master, and otherwise, if there are several, of a Cluster's nodes
	master    string   // the name by which Sentinels know the primary
	server    login
	sentinel  login
	database  int
	Plaintext bool // the connection to an address of the URL, with the store's password, crosses a network unencrypted
}

// login is sent to a server, unless the password is empty. An empty user is the default user.
type login struct{ user, password string }

// Address returns where the store is, without user and password: HOST:PORT, several separated by commas, or a path.
func (o Options) Address() string { return strings.Join(o.addresses, ",") }

// errInvalidURL quotes nothing: the password may be anywhere.
var errInvalidURL = errors.New("must be redis://USER:PASSWORD@HOST:PORT/DB, rediss://… for TLS, or unix:///path, and may have the parameters addr=HOST:PORT and, " +
	"for Sentinel, master_name, username and password. In a password, percent-encode everything except letters, digits, - . _ and ~")

// ParseURL parses the address of a store. docs/store.md has the forms. Several addresses are those of Sentinels if there is a
// master_name, and otherwise those of a Cluster, which has only database 0.
func ParseURL(text string) (Options, error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Fragment != "" || (u.Hostname() == "") != (u.Scheme == "unix") || !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme) {
		return Options{}, errInvalidURL
	}
	query, err := url.ParseQuery(u.RawQuery)
	for name := range query {
		if u.Scheme == "unix" || !slices.Contains([]string{"addr", "master_name", "username", "password"}, name) {
			return Options{}, errInvalidURL
		}
	}
	o := Options{scheme: u.Scheme, master: query.Get("master_name"), server: login{user: u.User.Username()}}
	o.server.password, _ = u.User.Password()
	if o.master != "" {
		o.server, o.sentinel = login{query.Get("username"), query.Get("password")}, o.server
	}
	path := strings.Trim(u.Path, "/")
	if o.scheme == "unix" && err == nil && strings.TrimSpace(u.Path) != "" {
		o.addresses = []string{u.Path}
		return o, nil
	}
	database, err2 := strconv.Atoi(cmp.Or(path, "0"))
	if o.database = database; o.scheme == "unix" || err != nil || err2 != nil || database < 0 || database > 0 && o.master == "" && query.Has("addr") {
		return Options{}, errInvalidURL
	}
	nodes := []*url.URL{u}
	for _, address := range query["addr"] {
		node, err := url.Parse("redis://" + address)
		if err != nil || address == "" || strings.ContainsAny(address, "@/?#") {
			return Options{}, errInvalidURL
		}
		nodes = append(nodes, node)
	}
	for _, node := range nodes {
		host, port := cmp.Or(node.Hostname(), "localhost"), cmp.Or(node.Port(), "6379")
		if port == "0" || strings.ContainsAny(host, ", []") {
			return Options{}, errInvalidURL
		}
		o.addresses = append(o.addresses, net.JoinHostPort(host, port))
		o.Plaintext = o.Plaintext || o.scheme == "redis" && host != "localhost" && !net.ParseIP(host).IsLoopback()
	}
	return o, nil
}

// dial connects to an address and logs in. ctx must have a deadline.
func (o Options) dial(ctx context.Context, address string, as login, database int) (redis.Conn, error) {
	return redis.DialContext(ctx, o.scheme, address, redis.DialContextFunc(dialNet), redis.DialUsername(as.user), redis.DialPassword(as.password),
		redis.DialDatabase(database), redis.DialReadTimeout(operationTimeout), redis.DialWriteTimeout(operationTimeout))
}

// dialNet connects, TLS handshake included. The keep-alives are more frequent than the idle timeouts of most firewalls, so a broken
// connection is noticed after a minute.
func dialNet(ctx context.Context, scheme, address string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: operationTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	network, dial := "tcp", plain.DialContext
	switch scheme {
	case "rediss":
		dial = (&tls.Dialer{NetDialer: plain, Config: &tls.Config{MinVersion: tls.VersionTLS12}}).DialContext
	case "unix":
		network = "unix"
	}
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &replyLimitedConn{Conn: conn}, nil
}
