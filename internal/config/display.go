package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"etrusted-broker/internal/hostport"
	"etrusted-broker/tokensource"
)

// displayable has, for each shape tag, the condition under which 'broker config', the status page and 'broker check' show a
// value. Any other text may be a misplaced secret, and only its length is shown.
var displayable = map[string]func(text string) bool{
	"path":     fileExists,
	"url":      isPlainURL,
	"address":  IsPlainAddress,
	"hosts":    isPlainHostPort,
	"patterns": isPlainPattern,
	"scopes":   isPlainScopes,
	"word":     isPlainWord,
}

// shown returns a variable's effective value in displayable form.
func (c Config) shown(v Variable) string {
	value := reflect.ValueOf(c).Field(v.index).Interface()
	text := fmt.Sprint(value)
	switch value := value.(type) {
	case tokensource.Secret:
		return value.String()
	case []string:
		text = strings.Join(value, v.separator)
	case string:
	default: // a number, a duration, a level
		return text
	}
	switch {
	case text == "":
		return "-"
	case text == v.Fallback:
		return text
	case v.separator == ",": // each part is valid by itself, so one that may be a secret says nothing about the others
		parts := strings.Split(text, v.separator)
		for i, part := range parts {
			parts[i] = v.shownText(strings.TrimSpace(part))
		}
		return strings.Join(parts, v.separator)
	}
	return v.shownText(text)
}

// shownText returns a text if it has the variable's shape, and its length otherwise.
func (v Variable) shownText(text string) string {
	if hasShape := displayable[v.shape]; hasShape != nil && hasShape(text) {
		return text
	}
	return tokensource.NewSecret(text).String()
}

// fileExists reports whether path exists. A secret can look like a path, but does not exist as one.
func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func isPlainURL(text string) bool {
	u, err := parseServerURL(text)
	return err == nil && isPlainHost(u.Hostname()) && isPlainPath(u.Path)
}

// IsPlainAddress reports whether an address of a listener contains no part that may be a misplaced secret.
func IsPlainAddress(text string) bool {
	if path, isUnix := UnixPath(text); isUnix {
		return fileExists(path) || isPlainSocket(path)
	}
	host, err := SplitListen(text)
	return err == nil && (host == "" || isPlainHost(host))
}

// isPlainSocket reports whether a path is that of a socket, which need not exist yet.
func isPlainSocket(path string) bool {
	folder := filepath.Dir(path)
	return everyPart(filepath.Base(path), ".", isPlainWord) && (fileExists(folder) || isPlainPath(folder))
}

// isPlainScopes reports whether a text has only what scopes are made of, such as reviews:read. They are checked nowhere, so
// even a short word may be a secret, unless it is of lower-case letters only.
func isPlainScopes(text string) bool {
	return strings.Trim(text, "abcdefghijklmnopqrstuvwxyz-_.:/ ") == ""
}

// isPlainPattern reports whether a text is one of BROKER_ALLOW.
func isPlainPattern(text string) bool {
	words := strings.Fields(text)
	return len(words) <= 2 && everyPart(text, " ", isPlainPath)
}

func isPlainPath(text string) bool {
	return everyPart(text, "/", func(segment string) bool { return isPlainWord(segment) || isPlainWildcard(segment) })
}

// isPlainWildcard reports whether a segment of a pattern is a wildcard with a name of letters, such as {externalReferenceId}.
func isPlainWildcard(segment string) bool {
	name, opened := strings.CutPrefix(segment, "{")
	name, closed := strings.CutSuffix(name, "}")
	return opened && closed && strings.Trim(strings.TrimSuffix(name, "..."), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") == ""
}

// isPlainHostPort reports whether a text is a host, with or without a port.
func isPlainHostPort(text string) bool {
	if name, _, ok := hostport.Split(text); ok {
		text = name
	}
	return isPlainHost(text)
}

// isPlainHost reports whether a text is an address or a name without a label that is long enough to be a secret.
func isPlainHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return text != "" && everyPart(text, ".", func(label string) bool { return len(label) < ShortKey && isPlainWord(label) })
}

// isPlainWord reports whether a word is too short for a secret, or of lower-case letters, hyphens and underscores only, such
// as questionnaire-links. The characters are those of host names, API paths and their wildcards.
func isPlainWord(text string) bool {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyz-_") == "" {
		return true
	}
	return len(text) < ShortKey && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~{}$") == ""
}

// everyPart reports whether all parts of a text are of a kind.
func everyPart(text, separator string, is func(string) bool) bool {
	for part := range strings.SplitSeq(text, separator) {
		if !is(strings.TrimSpace(part)) {
			return false
		}
	}
	return true
}
