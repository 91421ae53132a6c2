package redisstore

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options tell which store it is. They hold its password: like a secret, they are not to be printed.
type Options struct {
	universal redis.UniversalOptions
	// Clear means that what is said to the store, its password first, crosses a network as it is.
	Clear bool
}

// Address is where the store is, without user and password: HOST:PORT, or several with commas between, or a path.
func (o Options) Address() string { return strings.Join(o.universal.Addrs, ",") }

// opTime bounds one operation, the making of a connection included. Who asks has a token for a minute yet, or an app that
// waits for one.
const opTime = time.Second

// ParseURL reads the address of a store:
//
//	redis://USER:PASSWORD@HOST:PORT/DB    one server; rediss:// for TLS, unix:///path for its socket
//	…?addr=HOST:PORT&addr=…               further nodes: a Cluster
//	…?master_name=NAME                    the address is a Sentinel's, and so are further ones
//
// With Sentinels, USER and PASSWORD are theirs, and the parameters username and password those of the servers, as with
// go-redis. Its errors say what is wrong, and quote nothing: the password may be anywhere.
func ParseURL(text string) (Options, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, !slices.Contains([]string{"redis", "rediss", "unix"}, u.Scheme), u.Opaque != "":
		return Options{}, errors.New("must be a URL that begins with redis://, rediss:// or unix://; what a password has of other characters than letters, digits, - . _ and ~ is to be percent-encoded")
	case u.Fragment != "":
		return Options{}, errors.New("must not have a #: in a password it is written %23")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Options{}, errors.New("has parameters that cannot be read")
	}
	for name := range query {
		if !slices.Contains([]string{"addr", "master_name", "username", "password"}, name) {
			return Options{}, errors.New("has a parameter other than addr, master_name, username and password")
		}
	}
	options := Options{universal: redis.UniversalOptions{
		MasterName: query.Get("master_name"),
		Username:   u.User.Username(),

		DialTimeout: opTime, ReadTimeout: opTime, WriteTimeout: opTime,
		ContextTimeoutEnabled: true,
		DialerRetries:         1, // health decides when to try again
		MaxRetries:            1, // a connection that was closed while idle is not the store's fault
		PoolSize:              4, // of all accounts together
		MaxIdleConns:          1, // so there is no second one that was closed, and a store of many brokers has few
		ConnMaxIdleTime:       30 * time.Second,
		ReadBufferSize:        4 << 10,
		WriteBufferSize:       4 << 10,
		Protocol:              2,
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}}
	universal := &options.universal
	universal.Password, _ = u.User.Password()
	if universal.MasterName != "" {
		universal.SentinelUsername, universal.SentinelPassword = universal.Username, universal.Password
		universal.Username, universal.Password = query.Get("username"), query.Get("password")
	} else if query.Has("username") || query.Has("password") || query.Has("master_name") {
		return Options{}, errors.New("has a username or password parameter, which are for Sentinel and go with master_name: else write redis://USER:PASSWORD@HOST:PORT")
	}
	read := options.network
	if u.Scheme == "unix" {
		read = options.socket
	}
	if err := read(u, query); err != nil {
		return Options{}, err
	}
	return options, nil
}

func (o *Options) socket(u *url.URL, query url.Values) error {
	if u.Host != "" || u.Path == "" || u.Path == "/" || len(query) > 0 {
		return errors.New("must be unix:///path of the store's socket, without parameters")
	}
	o.universal.Addrs = []string{u.Path}
	o.universal.Dialer = dialer(nil)
	return nil
}

func (o *Options) network(u *url.URL, query url.Values) error {
	for _, address := range append([]string{u.Host}, query["addr"]...) {
		address, ok := withPort(address)
		if !ok {
			return errors.New("must name the store as HOST or HOST:PORT, and further nodes as addr=HOST:PORT")
		}
		o.universal.Addrs = append(o.universal.Addrs, address)
		host, _, _ := net.SplitHostPort(address)
		ip := net.ParseIP(host)
		o.Clear = o.Clear || host != "localhost" && (ip == nil || !ip.IsLoopback())
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		var err error
		if o.universal.DB, err = strconv.Atoi(db); err != nil || o.universal.DB < 0 {
			return errors.New("must have nothing after the address but the number of the database: redis://HOST:PORT/0")
		}
	}
	if len(o.universal.Addrs) > 1 && o.universal.MasterName == "" && o.universal.DB != 0 {
		return errors.New("names several nodes, a Cluster, which has no database but 0")
	}
	o.universal.Dialer = dialer(nil)
	if u.Scheme == "rediss" {
		o.Clear = false
		o.universal.Dialer = dialer(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	return nil
}

// withPort returns the address with the port that it has, or the usual one.
func withPort(address string) (string, bool) {
	u := url.URL{Host: address}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "6379"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, "@/?#, []") {
		return "", false
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(address, "[") { // two addresses, or a port that is none
		return "", false
	}
	return net.JoinHostPort(host, port), true
}
