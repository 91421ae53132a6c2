package config

import (
	"fmt"
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

// DisplayableSetting is a variable with its effective value, in displayable form.
type DisplayableSetting struct {
	Name    string
	Value   string // a secret is shown by its length only
	Source  string // environment, or a file of variables, default, a _FILE variable, or - if it is not set
	Meaning string
}

// settings returns all variables with their effective values, in displayable form.
func (c Config) settings(set map[string]string, problems []Error) []DisplayableSetting {
	var all []DisplayableSetting
	for _, v := range Variables() {
		value := c.displayValue(v)
		if set[v.Name] != "" && slices.ContainsFunc(problems, func(p Error) bool { return p.Variable == v.Name }) {
			value = "(not valid)" // it may be a misplaced secret
		}
		all = append(all, DisplayableSetting{Name: v.Name, Value: value, Source: describeValueSource(v, set), Meaning: v.Help})
	}
	return all
}

// describeValueSource returns where a variable's effective value comes from.
func describeValueSource(v Variable, environment map[string]string) string {
	switch value, isInEnvironment := environment[v.Name]; {
	case value != "", isInEnvironment && v.Name == "BROKER_ADMIN_LISTEN":
		return "environment"
	case environment[v.Name+"_FILE"] != "":
		return v.Name + "_FILE"
	case v.Fallback != "":
		return "default"
	default:
		return "-"
	}
}

// isSafeToShowByShape has, for each shape tag, the condition under which 'broker config', the status page and 'broker check' show
// a value. Any other text may be a misplaced secret, and only its length is shown.
var isSafeToShowByShape = map[string]func(text string) bool{
	"path": pathExists,
	"url": func(text string) bool {
		_, err := hostport.ParseSecureURL(text)
		return err == nil && hasOnlyNonSecretWords(text)
	},
	"address":  IsListenAddressSafeToShow,
	"hosts":    func(text string) bool { return hasOnlyNonSecretWords(strings.TrimPrefix(text, "*")) },
	"patterns": hasOnlyNonSecretWords,
	// Scopes, such as reviews:read, are checked nowhere, so even a short word may be a secret, unless it is of lower-case
	// letters only.
	"scopes": func(text string) bool { return strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_.:/ -") == "" },
	"word":   hasOnlyNonSecretWords,
}

// hasOnlyNonSecretWords reports whether a text consists of words that cannot be a secret: they are shorter than MinSafeKeyLength,
// or have neither capital letters nor digits, or are a wildcard of a pattern, such as {externalReferenceId}.
func hasOnlyNonSecretWords(text string) bool { return nonSecretWordsPattern().MatchString(text) }

// nonSecretWordsPattern is compiled only by the commands that need it.
var nonSecretWordsPattern = sync.OnceValue(func() *regexp.Regexp {
	const word = `(?:[a-z_-]*|[\w~{}$-]{0,15}|\{[A-Za-z_]*(?:\.\.\.)?\})`
	return regexp.MustCompile(`^` + word + `(?:[/.:\[\] ]` + word + `)*$`)
})

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
	if hasShape := isSafeToShowByShape[v.shape]; hasShape != nil && hasShape(text) {
		return text
	}
	return tokensource.NewSecret(text).String()
}

// pathExists reports whether path exists. A secret can look like a path, but does not exist as one.
func pathExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// IsListenAddressSafeToShow reports whether an address of a listener contains no part that may be a misplaced secret.
func IsListenAddressSafeToShow(text string) bool {
	if path, isUnix := UnixPath(text); isUnix && pathExists(filepath.Dir(path)) {
		text = filepath.Base(path) // the socket need not exist yet
	}
	return hasOnlyNonSecretWords(text)
}
