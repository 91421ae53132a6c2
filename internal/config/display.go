package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"etrusted-broker/internal/hostport"
	"etrusted-broker/tokensource"
)

// Setting is a variable with its effective value, in displayable form.
type Setting struct {
	Name    string
	Value   string // a secret is shown by its length only
	Source  string // environment, or a file of variables, default, a _FILE variable, or - if it is not set
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
		all = append(all, Setting{Name: v.Name, Value: value, Source: describeValueSource(v, set), Meaning: v.Help})
	}
	return all
}

// describeValueSource returns where a variable's effective value comes from.
func describeValueSource(v Variable, set map[string]string) string {
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

// isDisplayableByShape has, for each shape tag, the condition under which 'broker config', the status page and 'broker check' show
// a value. Any other text may be a misplaced secret, and only its length is shown.
var isDisplayableByShape = map[string]func(text string) bool{
	"path": fileExists,
	"url": func(text string) bool {
		_, err := hostport.ParseSecureURL(text)
		return err == nil && hasOnlyWords(text)
	},
	"address":  IsDisplayableAddress,
	"hosts":    func(text string) bool { return hasOnlyWords(strings.TrimPrefix(text, "*")) },
	"patterns": hasOnlyWords,
	// Scopes, such as reviews:read, are checked nowhere, so even a short word may be a secret, unless it is of lower-case
	// letters only.
	"scopes": func(text string) bool { return strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_.:/ -") == "" },
	"word":   hasOnlyWords,
}

// hasOnlyWords reports whether a text consists of words that cannot be a secret: they are shorter than MinSafeKeyLength, or have
// neither capital letters nor digits, or are a wildcard of a pattern, such as {externalReferenceId}.
func hasOnlyWords(text string) bool { return nonSecretPattern.MatchString(text) }

var nonSecretPattern = regexp.MustCompile(strings.ReplaceAll(`^WORD(?:[/.:\[\] ]WORD)*$`,
	"WORD", `(?:[a-z_-]*|[\w~{}$-]{0,15}|\{[A-Za-z_]*(?:\.\.\.)?\})`))

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
	if hasShape := isDisplayableByShape[v.shape]; hasShape != nil && hasShape(text) {
		return text
	}
	return tokensource.NewSecret(text).String()
}

// fileExists reports whether path exists. A secret can look like a path, but does not exist as one.
func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// IsDisplayableAddress reports whether an address of a listener contains no part that may be a misplaced secret.
func IsDisplayableAddress(text string) bool {
	if path, isUnix := UnixPath(text); isUnix && fileExists(filepath.Dir(path)) {
		text = filepath.Base(path) // the socket need not exist yet
	}
	return hasOnlyWords(text)
}
