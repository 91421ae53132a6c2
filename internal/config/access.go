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
	"runtime"
	"strconv"
	"strings"

	"etrusted-broker/internal/hostport"
	"etrusted-broker/tokensource"
)

// accessKeys returns the access keys from their variable or file, and the name of the one that is set; none if neither is.
func (c Config) accessKeys() (keys []tokensource.Secret, source string, err error) {
	if c.AccessKeyFile != "" && !isSet(c.AccessKey) {
		keys, err = ReadAccessKeys(c.AccessKeyFile)
		return keys, "BROKER_ACCESS_KEY_FILE", err
	}
	key, source, err := secretFromValueOrFile("BROKER_ACCESS_KEY", c.AccessKey, c.AccessKeyFile)
	if err != nil || source == "" {
		return nil, source, err
	}
	key, err = tokensource.ParseSecret([]byte(key.Reveal()))
	keys, err = checkNoSurroundingSpace([]tokensource.Secret{key}, err)
	return keys, source, err
}

// ReadAccessKeys reads the access keys from a file, one a line.
func ReadAccessKeys(file string) ([]tokensource.Secret, error) {
	return checkNoSurroundingSpace(readFileHidingPath(file, tokensource.ReadSecretLines))
}

// checkNoSurroundingSpace rejects a key that no request could send: a field value has no spaces at its ends. It returns the
// keys, or else an error, err included.
func checkNoSurroundingSpace(keys []tokensource.Secret, err error) ([]tokensource.Secret, error) {
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

// RequiresAuthentication reports whether apps must authenticate.
func (c Config) RequiresAuthentication() bool {
	return isSet(c.AccessKey) || c.AccessKeyFile != "" || c.CallersDir != "" || c.TLSClientCAFile != ""
}

// checkCallersDir rejects a directory that cannot be used. What is in it is read by package callers.
func (c Config) checkCallersDir() error {
	if c.CallersDir != "" && (isSet(c.AccessKey) || c.AccessKeyFile != "") {
		return errors.New("cannot be used with an access key: unset BROKER_ACCESS_KEY and BROKER_ACCESS_KEY_FILE, and give each caller its own key")
	}
	return checkOptionalDir(c.CallersDir)
}

// checkListen rejects an address through which other machines could use the credentials.
func (c Config) checkListen() error {
	if path, isUnix := UnixPath(c.Listen); isUnix {
		if !strings.HasPrefix(path, "/") {
			return errors.New("needs three slashes, because the path is absolute: unix:///run/broker.sock")
		}
		return nil
	}
	host, _, err := SplitHostAndPortNumber(c.Listen)
	switch {
	case err != nil && runtime.GOOS == "windows": // there, package unixsocket refuses a path
		return err
	case err != nil:
		return fmt.Errorf("%w, or unix:///path", err)
	}
	if !hostport.IsLoopback(host) && !c.RequiresAuthentication() && !c.UnsafeListen {
		return ErrExposedWithoutAuthentication
	}
	return nil
}

// checkInterceptListen is like checkListen, for BROKER_INTERCEPT_LISTEN.
func (c Config) checkInterceptListen() error {
	if c.InterceptListen == "" {
		return nil
	}
	host, _, err := SplitHostAndPortNumber(c.InterceptListen)
	if err == nil {
		err = c.CheckIntercept()
	}
	if err == nil && !hostport.IsLoopback(host) && !c.RequiresAuthentication() && !c.UnsafeListen {
		err = ErrExposedWithoutAuthentication
	}
	return err
}

// CheckIntercept returns what prevents listening for apps that take the broker for the API.
func (c Config) CheckIntercept() error {
	switch {
	case c.InterceptCADir == "":
		return errors.New("needs BROKER_INTERCEPT_CA_DIR, for the certificates of the API and the login server")
	case c.TLSClientCAFile != "":
		return errors.New("cannot be used with BROKER_TLS_CLIENT_CA_FILE: apps that take the broker for the API present no certificate. Use BROKER_ACCESS_KEY_FILE or BROKER_CALLERS_DIR: they can send a key as their client secret")
	default:
		return nil
	}
}

// parseResolver parses the address of a DNS server, whose port is 53 if it is missing.
func parseResolver(text string) (server netip.AddrPort, err error) {
	if text == "" {
		return netip.AddrPort{}, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, 53), nil
	}
	server, err = netip.ParseAddrPort(text)
	if err != nil || server.Port() == 0 {
		return netip.AddrPort{}, errors.New("must be the IP address of a DNS server, perhaps with a port: 192.0.2.53, 192.0.2.53:53 or [2001:db8::53]:53")
	}
	return server, nil
}

// ErrExposedWithoutAuthentication is the error of a listener that other machines can reach without authentication.
var ErrExposedWithoutAuthentication = errors.New("would let other machines use the credentials: listen on 127.0.0.1; or set BROKER_ACCESS_KEY_FILE, BROKER_CALLERS_DIR or BROKER_TLS_CLIENT_CA_FILE; or, if something else keeps them out, BROKER_UNSAFE_LISTEN=true")

// UnixPath returns the path in unix:///path, and false for any other address.
func UnixPath(address string) (path string, isUnix bool) {
	return strings.CutPrefix(address, "unix://")
}

// SplitHostAndPortNumber returns the parts of HOST:PORT, after checking the port.
func SplitHostAndPortNumber(address string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(address)
	if err != nil {
		return "", "", errors.New("must be HOST:PORT, such as 127.0.0.1:8080")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", errors.New("must be HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:8080")
	}
	return host, port, nil
}

// checkProxy rejects a proxy that is the broker itself: HTTPS_PROXY was meant for the environment of the app.
func (c Config) checkProxy(variables map[string]string) error {
	text := cmp.Or(variables["HTTPS_PROXY"], variables["https_proxy"])
	if !strings.Contains(text, "://") {
		text = "http://" + text // as net/http reads it
	}
	proxy, err := url.Parse(text)
	if err != nil || !hostport.IsLoopback(proxy.Hostname()) && !net.ParseIP(proxy.Hostname()).IsUnspecified() {
		return nil
	}
	if _, port, err := net.SplitHostPort(c.Listen); err == nil && port == proxy.Port() {
		return errors.New("is the broker itself: set it for the app and unset it for the broker")
	}
	return nil
}

// checkAllowedHosts rejects text that no Host header can contain, such as a wildcard that would not work.
func checkAllowedHosts(hosts []string) error {
	for _, host := range hosts {
		if strings.TrimSpace(host) == "" || strings.ContainsAny(host, "*/@") {
			return errors.New("must be host names separated by commas, without scheme, path or wildcards")
		}
	}
	return nil
}

// MinSafeKeyLength is the length in bytes below which a key can be found by trying.
const MinSafeKeyLength = 16
