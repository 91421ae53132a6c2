package tokensource

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"etrusted-broker/internal/hostport"
)

// APIEnvironment is an account's own API, and the login server that issues tokens for it. The zero value is the broker's.
type APIEnvironment struct {
	API *url.URL // scheme and host; nil: the broker's
	// TokenURL, Audience and Scopes replace those of Config.Endpoint, unless they are empty.
	TokenURL string
	Audience string
	Scopes   []string
}

// Equal reports whether both environments are the same.
func (e APIEnvironment) Equal(other APIEnvironment) bool {
	return e.apiURL() == other.apiURL() && e.TokenURL == other.TokenURL && e.Audience == other.Audience && slices.Equal(e.Scopes, other.Scopes)
}

// apiURL returns the API's base URL; empty for the broker's.
func (e APIEnvironment) apiURL() string {
	if e.API == nil {
		return ""
	}
	return e.API.String()
}

// Endpoint returns the token endpoint, which differs from the general one in what the environment has of its own.
func (e APIEnvironment) Endpoint(general TokenEndpoint) TokenEndpoint {
	general.URL = cmp.Or(e.TokenURL, general.URL)
	general.Audience = cmp.Or(e.Audience, general.Audience)
	if len(e.Scopes) > 0 {
		general.Scopes = e.Scopes
	}
	general.API = e.apiURL()
	return general
}

// CredentialsAndEnvironment is a pair of credentials and the environment in which it is valid: a set, for short. It is only replaced
// as a whole: a pair must not reach the login server of another environment, nor its tokens another API.
type CredentialsAndEnvironment struct {
	Credentials
	Environment APIEnvironment
}

// Equal reports whether both sets are the same.
func (s CredentialsAndEnvironment) Equal(other CredentialsAndEnvironment) bool {
	return s.ID.Equal(other.ID) && s.Secret.Equal(other.Secret) && s.Environment.Equal(other.Environment)
}

// The files of an environment. Each is optional.
const (
	apiURLFile   = "api_url"
	tokenURLFile = "token_url"
	audienceFile = "audience"
	scopesFile   = "scopes"
)

// ReadEnvironment returns what the files in EnvironmentDir say. Its errors name the file and what it must contain.
func (s CredentialSource) ReadEnvironment() (e APIEnvironment, err error) {
	if s.EnvironmentDir == "" {
		return e, nil
	}
	var tokenURL *url.URL
	err = errors.Join(
		readOverride(s, apiURLFile, &e.API, hostport.ParseSecureOrigin),
		readOverride(s, tokenURLFile, &tokenURL, hostport.ParseSecureURL),
		readOverride(s, audienceFile, &e.Audience, func(text string) (string, error) { return text, nil }),
		readOverride(s, scopesFile, &e.Scopes, func(text string) ([]string, error) { return strings.Fields(text), nil }),
	)
	if err != nil {
		return APIEnvironment{}, err
	}
	if tokenURL != nil {
		e.TokenURL = tokenURL.String()
	}
	return e, nil
}

// readOverride sets a value from a file of one line. It leaves it if there is no such file. An empty file is an error: one that is
// being written, or whose content was lost, must not lead an account to another environment.
func readOverride[T any](s CredentialSource, name string, value *T, parse func(text string) (T, error)) error {
	path := s.environmentFile(name)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	line, err := ReadSecretFile(path)
	if errors.Is(err, ErrEmptySecret) {
		err = fmt.Errorf("%s is empty: write the value into it, or remove the file", path)
	}
	if err != nil {
		return err
	}
	if *value, err = parse(strings.TrimSpace(line.Reveal())); err != nil {
		return fmt.Errorf("%s %w", path, err)
	}
	return nil
}

// environmentFile returns the path of a file of the environment; empty without EnvironmentDir.
func (s CredentialSource) environmentFile(name string) string {
	if s.EnvironmentDir == "" {
		return ""
	}
	return filepath.Join(s.EnvironmentDir, name)
}

// ReplaceVariableNames replaces the names of variables in a text by those of the files that an environment has in their place.
func (s CredentialSource) ReplaceVariableNames(e APIEnvironment, text string) string {
	for _, own := range []struct {
		variable, file string
		replaced       bool
	}{
		{"ETRUSTED_API_URL", apiURLFile, e.API != nil},
		{"ETRUSTED_TOKEN_URL", tokenURLFile, e.TokenURL != ""},
		{"ETRUSTED_AUDIENCE", audienceFile, e.Audience != ""},
		{"ETRUSTED_SCOPES", scopesFile, len(e.Scopes) > 0},
	} {
		if own.replaced {
			text = strings.ReplaceAll(text, own.variable, s.environmentFile(own.file))
		}
	}
	return text
}
