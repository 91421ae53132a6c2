package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"etrusted-broker/internal/hostport"
	"etrusted-broker/tokensource"
)

// Setting is a variable with its effective value, in displayable form.
type Setting struct {
	Name    string
	Value   string // a secret is shown by its length only
	Source  string // environment, default, a _FILE variable, or - if it is not set
	Meaning string
}

// settings returns all variables with their effective values, in displayable form.
func (c Config) settings(set map[string]string, problems []Error) []Setting {
	var all []Setting
	for _, v := range Variables() {
		value := c.displayValue(v)
		if set[v.Name] != "" && slices.ContainsFunc(problems, func(p Error) bool { return p.Variable == v.Name }) {
			value = "(not valid)" // it may be a misplaced secret
		}
		all = append(all, Setting{Name: v.Name, Value: value, Source: sourceOf(v, set), Meaning: v.Help})
	}
	return all
}

// sourceOf returns where a variable's effective value comes from.
func sourceOf(v Variable, set map[string]string) string {
	switch value, isInEnvironment := set[v.Name]; {
	case value != "", isInEnvironment && v.Name == "BROKER_ADMIN_LISTEN":
		return "environment"
	case set[v.Name+"_FILE"] != "":
		return v.Name + "_FILE"
	case v.Fallback != "":
		return "default"
	default:
		return "-"
	}
}

// displayable has, for each shape tag, the condition under which 'broker config', the status page and 'broker check' show a
// value. Any other text may be a misplaced secret, and only its length is shown.
var displayable = map[string]func(text string) bool{
	"path":     fileExists,
	"url":      isDisplayableURL,
	"address":  IsDisplayableAddress,
	"hosts":    isDisplayableHostPort,
	"patterns": matches(pathShape + `(?: +` + pathShape + `)?`),
	// Scopes, such as reviews:read, are checked nowhere, so even a short word may be a secret, unless it is of lower-case
	// letters only.
	"scopes": matches(`[a-z_.:/ -]*`),
	"word":   matches(wordShape),
}

// The shapes of texts that cannot be a secret: they are shorter than ShortKey, or have no capital letters and digits. The
// characters are those of host names, API paths and their wildcards, such as {externalReferenceId}.
const (
	wordShape    = `(?:[a-z_-]*|[\w.~{}$-]{0,15})`
	segmentShape = `(?:` + wordShape + `|\{[A-Za-z_]*(?:\.\.\.)?\})`
	pathShape    = segmentShape + `(?:/` + segmentShape + `)*`
	labelShape   = `[\w~{}$-]{0,15}`
	hostShape    = labelShape + `(?:\.` + labelShape + `)*`
	fileShape    = wordShape + `(?:\.` + wordShape + `)*`
)

// matches returns a function that reports whether a whole text has a shape.
func matches(shape string) func(text string) bool {
	compiled := sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:` + shape + `)$`) }) // few commands need any
	return func(text string) bool { return compiled().MatchString(text) }
}

var (
	isDisplayablePath     = matches(pathShape)
	isDisplayableHostName = matches(hostShape)
	isDisplayableFileName = matches(fileShape)
)

// displayValue returns a variable's effective value in displayable form.
func (c Config) displayValue(v Variable) string {
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
			parts[i] = v.displayText(strings.TrimSpace(part))
		}
		return strings.Join(parts, v.separator)
	}
	return v.displayText(text)
}

// displayText returns a text if it has the variable's shape, and its length otherwise.
func (v Variable) displayText(text string) string {
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

func isDisplayableURL(text string) bool {
	u, err := parseServerURL(text)
	return err == nil && isDisplayableHost(u.Hostname()) && isDisplayablePath(u.Path)
}

// IsDisplayableAddress reports whether an address of a listener contains no part that may be a misplaced secret.
func IsDisplayableAddress(text string) bool {
	if path, isUnix := UnixPath(text); isUnix {
		return fileExists(path) || isDisplayableSocket(path)
	}
	host, err := SplitListen(text)
	return err == nil && (host == "" || isDisplayableHost(host))
}

// isDisplayableSocket reports whether a path is that of a socket, which need not exist yet.
func isDisplayableSocket(path string) bool {
	dir := filepath.Dir(path)
	return isDisplayableFileName(filepath.Base(path)) && (fileExists(dir) || isDisplayablePath(dir))
}

// isDisplayableHostPort reports whether a text is a host, with or without a port.
func isDisplayableHostPort(text string) bool {
	if name, _, ok := hostport.Split(text); ok {
		text = name
	}
	return isDisplayableHost(text)
}

// isDisplayableHost reports whether a text is an address or a name without a label that is long enough to be a secret.
func isDisplayableHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return text != "" && isDisplayableHostName(text)
}
