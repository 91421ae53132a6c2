// Package hostport reads the host and port that a request is for, and the URLs of servers.
package hostport

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Split splits the value of a Host header (RFC 9110 section 7.2), or the authority of a target, into a name and a port. The port is
// empty if the value has no port. Equal hosts have equal normalized names: in lower case, without a final dot, and an IPv6 address
// in its shortest form, without brackets.
//
// It reports false for whatever two programs could read differently: after the name, or the brackets around an IPv6 address
// without a zone, comes either nothing or a colon and a port from 1 to 65535 in its usual form. The name has the characters
// of RFC 3986 section 3.2.2, and at least one.
func Split(hostMaybePort string) (normalizedName, port string, ok bool) {
	name, after := hostMaybePort, ""
	if inner, bracketed := strings.CutPrefix(hostMaybePort, "["); bracketed {
		name, after, ok = strings.Cut(inner, "]")
		addr, err := netip.ParseAddr(strings.Clone(name)) // which keeps it in its errors: a caller's bytes would go to the heap
		if !ok || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", false
		}
		name = addr.String()
	} else {
		if colon := strings.IndexByte(hostMaybePort, ':'); colon >= 0 {
			name, after = hostMaybePort[:colon], hostMaybePort[colon:]
		}
		if name = strings.TrimSuffix(name, "."); !isRegisteredName(name) {
			return "", "", false
		}
		name = strings.ToLower(name) // it is ASCII: ToLower makes a k of a Kelvin sign
	}
	if after == "" {
		return name, "", true
	}
	port, ok = strings.CutPrefix(after, ":")
	if !ok || !isPort(port) {
		return "", "", false
	}
	return name, port, true
}

func isPort(text string) bool {
	number, err := strconv.ParseUint(text, 10, 16)
	return err == nil && number > 0 && text[0] != '0'
}

// isRegisteredName reports whether text has only the characters of a registered name, and of percent-encoding.
func isRegisteredName(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._~!$&'()*+,;=%", c) >= 0:
		default:
			return false
		}
	}
	return text != ""
}

// ParseSecureURL parses the URL of a server that receives a secret or a token: TLS is required, except on loopback. The error says
// what the URL must be, and contains nothing of it.
func ParseSecureURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || !isHostWithOptionalPort(u.Host) || u.Scheme != "https" && u.Scheme != "http":
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

func isHostWithOptionalPort(text string) bool {
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
