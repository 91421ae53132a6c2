package hostport

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// ParseSecureURL parses the URL of a server that receives a secret or a token: TLS is required, except on loopback. The error says
// what the URL must be, and contains nothing of it.
func ParseSecureURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || !isHost(u.Host) || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must be a URL that starts with https://")
	case u.User != nil, strings.Contains(text, "@"): // if a password contains a slash, the host ends there
		return nil, errors.New("must not contain a user name or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("must not have a query or a fragment")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		return nil, errors.New("must start with https://: http:// would send the credential unencrypted (allowed only for loopback addresses)")
	}
	return u, nil
}

// ParseSecureOrigin parses the base URL of an API. It is like ParseSecureURL, and refuses a path.
func ParseSecureOrigin(text string) (*url.URL, error) {
	u, err := ParseSecureURL(text)
	if err != nil {
		return nil, err
	}
	if u.Path != "" && u.Path != "/" {
		return nil, errors.New("must consist of scheme and host only: the app's path is forwarded unchanged")
	}
	return u, nil
}

func isHost(text string) bool {
	_, _, ok := Split(text)
	return ok
}

// IsLoopback reports whether a host is localhost or a loopback address. An empty host, as in ":8080", means every address.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
