// Package config turns environment variables into a Config of plain values, and describes the variables for help and display.
//
// It reads the files that variables name and opens no socket. Its errors never contain the value of a variable.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"etrusted-broker/tokensource"
)

// accessKeys returns the access keys from their variable or file; none if neither is set.
func (c Config) accessKeys() ([]tokensource.Secret, error) {
	isSet := !c.AccessKey.Equal(tokensource.Secret{})
	switch {
	case isSet && c.AccessKeyFile != "":
		return nil, errors.New("both BROKER_ACCESS_KEY and BROKER_ACCESS_KEY_FILE are set: unset one of them")
	case isSet:
		key, err := tokensource.ParseSecret([]byte(c.AccessKey.Reveal()))
		return checkKeys([]tokensource.Secret{key}, err)
	case c.AccessKeyFile != "":
		return ReadAccessKeys(c.AccessKeyFile)
	default:
		return nil, nil
	}
}

func (c Config) accessKeyVariable() string {
	if c.AccessKeyFile != "" && c.AccessKey.Equal(tokensource.Secret{}) {
		return "BROKER_ACCESS_KEY_FILE"
	}
	return "BROKER_ACCESS_KEY"
}

// ReadAccessKeys reads the access keys from a file, one a line.
func ReadAccessKeys(file string) ([]tokensource.Secret, error) {
	return checkKeys(readFile(file, tokensource.ReadSecretLines))
}

// checkKeys rejects a key that no request could send: a field value has no spaces at its ends.
func checkKeys(keys []tokensource.Secret, err error) ([]tokensource.Secret, error) {
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if strings.TrimSpace(key.Reveal()) != key.Reveal() {
			return nil, errors.New("must not begin or end with a space")
		}
	}
	return keys, nil
}

// Guarded reports whether apps must authenticate.
func (c Config) Guarded() bool {
	return !c.AccessKey.Equal(tokensource.Secret{}) || c.AccessKeyFile != "" || c.TLSClientCAFile != ""
}

// checkListen rejects an address through which other machines could use the credentials.
func (c Config) checkListen() error {
	if path, isUnix := UnixPath(c.Listen); isUnix {
		if !filepath.IsAbs(path) {
			return errors.New("needs three slashes, because the path is absolute: unix:///run/broker.sock")
		}
		return nil
	}
	host, err := SplitListen(c.Listen)
	if err != nil {
		return fmt.Errorf("%w, or unix:///path", err)
	}
	if !isLoopback(host) && !c.Guarded() && !c.UnsafeListen {
		return ErrUnguarded
	}
	return nil
}

// ErrUnguarded is the error of a listener that other machines can reach without authentication.
var ErrUnguarded = errors.New("would let other machines use the credentials: listen on 127.0.0.1; or set BROKER_ACCESS_KEY_FILE or BROKER_TLS_CLIENT_CA_FILE; or, if something else keeps them out, BROKER_UNSAFE_LISTEN=true")

// UnixPath returns the path in unix:///path, and false for any other address.
func UnixPath(address string) (string, bool) {
	return strings.CutPrefix(address, "unix://")
}

// SplitListen returns the host in HOST:PORT, after checking the port.
func SplitListen(address string) (host string, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", errors.New("must be HOST:PORT, such as 127.0.0.1:8080")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", errors.New("must be HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:8080")
	}
	return host, nil
}

// isLoopback reports whether host is a loopback address. An empty host, as in ":8080", means every address.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// checkProxy rejects a proxy that is the broker itself: HTTPS_PROXY was meant for the environment of the app.
func (c Config) checkProxy(variables map[string]string) error {
	text := cmp.Or(variables["HTTPS_PROXY"], variables["https_proxy"])
	if !strings.Contains(text, "://") {
		text = "http://" + text // as net/http reads it
	}
	proxy, err := url.Parse(text)
	if err != nil || !isLoopback(proxy.Hostname()) && !net.ParseIP(proxy.Hostname()).IsUnspecified() {
		return nil
	}
	if _, port, err := net.SplitHostPort(c.Listen); err == nil && port == proxy.Port() {
		return errors.New("is the broker itself: set it for the app and unset it for the broker")
	}
	return nil
}

// checkHosts rejects text that no Host header can contain, such as a wildcard that would not work.
func checkHosts(hosts []string) error {
	for _, host := range hosts {
		if strings.TrimSpace(host) == "" || strings.ContainsAny(host, "*/@") {
			return errors.New("must be host names separated by commas, without scheme, path or wildcards")
		}
	}
	return nil
}

// ShortKey is the length in bytes below which a key can be found by trying.
const ShortKey = 16
