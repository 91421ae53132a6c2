package callers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

// keyFile is the name of the file with a caller's access keys.
const keyFile = "key"

// settings are what the files of a caller say.
type settings struct {
	credentials
	allow    optional[*access.Rules]
	accounts optional[[]string]
	expires  optional[time.Time]
	refused  bool // a file is invalid, and never was valid; or nothing was read yet
}

// credentials are what identifies a caller.
type credentials struct {
	keys         optional[keys]
	certificates optional[[]string]
	users        optional[[]string]
}

// identities returns the identities of connections (see access.Caller).
func (c credentials) identities() []string { return slices.Concat(c.certificates.value, c.users.value) }

// identitiesAndKeyDigests returns the identities and the digests of the keys, as keys of a map.
func (c credentials) identitiesAndKeyDigests() []string {
	all := c.identities()
	if c.keys.exists {
		all = append(all, c.keys.value.Digests()...)
	}
	return all
}

// revert gives the file that has a credential the content that it had before, unless the credential was already in that. It
// reports whether it does.
func (c *credentials) revert(credential string, before credentials) bool {
	switch {
	case slices.Contains(before.identitiesAndKeyDigests(), credential):
		return false
	case slices.Contains(c.certificates.value, credential):
		c.certificates = before.certificates
	case slices.Contains(c.users.value, credential):
		c.users = before.users
	default:
		c.keys = before.keys
	}
	return true
}

// optional is the content of an optional file: the last that was valid. The zero value is a file that does not exist.
type optional[T any] struct {
	value  T
	exists bool
}

// read returns the settings after reading the files in a directory. s has those before.
func (s settings) read(dir string, options Options, isSettled func(path string) bool) (next settings, problems []string) {
	// Without access to the directory, a missing file cannot be distinguished from one that exists. Any file shows that.
	if _, err := os.Stat(filepath.Join(dir, keyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, []string{fmt.Sprintf("%s cannot be read: %v; the caller stays as it was", dir, withoutPath(err))}
	}
	next = s
	next.refused = s.refused && !isSettled(dir) // more files may follow
	note := func(hasContent bool, err error) {
		if err == nil {
			return
		}
		next.refused = next.refused || !hasContent
		if errors.Is(err, errUnsettled) {
			return
		}
		consequence := "its last valid content stays in use"
		if !hasContent {
			consequence = "the caller is refused"
		}
		problems = append(problems, fmt.Sprintf("%v; %s", err, consequence))
	}
	in := func(name string) file { return file{filepath.Join(dir, name), isSettled, false} }
	restriction := func(name string) file { return file{filepath.Join(dir, name), isSettled, true} }
	note(next.keys.read(in(keyFile), parseKeys(options.ShortKey)))
	note(next.certificates.read(in("certificate"), parseCertificates(options.Certificates)))
	note(next.users.read(in("uid"), parseUsers(options.Users)))
	note(next.allow.read(restriction("allow"), parseAllow))
	note(next.accounts.read(restriction("accounts"), parseAccounts))
	note(next.expires.read(restriction("expires"), parseExpires))
	if !next.refused && len(next.identitiesAndKeyDigests()) == 0 {
		problems = append(problems, "it has no file key, certificate or uid; the caller is refused")
	}
	return next, problems
}

// errUnsettled is the error of a file that may be half written. It is not shown.
var errUnsettled = errors.New("not settled")

// file is a file of a caller, and how to find out whether it may be half written.
type file struct {
	path      string
	isSettled func(path string) bool
	// isRestriction means that the caller may do more without the file. Some editors replace a file by moving it away first, so it
	// is missing only once its directory has settled.
	isRestriction bool
}

// read reads a file. After an error, the last valid content stays; exists reports whether there is any.
func (o *optional[T]) read(f file, parse func(lines []string) (T, error)) (exists bool, _ error) {
	lines, err := readLines(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && o.exists && f.isRestriction && !f.isSettled(filepath.Dir(f.path)):
		return true, errUnsettled
	case errors.Is(err, fs.ErrNotExist):
		*o = optional[T]{}
		return false, nil
	case err != nil:
		return o.exists, fmt.Errorf("%s %w", f.path, err)
	case !f.isSettled(f.path):
		return o.exists, errUnsettled
	}
	value, err := parse(lines)
	if err != nil {
		return o.exists, fmt.Errorf("%s %w", f.path, err)
	}
	*o = optional[T]{value, true}
	return true, nil
}

func (s *settings) usable() bool { return !s.refused && len(s.identitiesAndKeyDigests()) > 0 }

func (s *settings) caller(name string) *access.Caller {
	accounts := []string{tokensource.DefaultAccount}
	if s.accounts.exists {
		accounts = s.accounts.value
	}
	return &access.Caller{
		Name: name, Keys: s.keys.value.Keys, Identities: s.identities(),
		Rules: s.allow.value, Accounts: accounts, Expires: s.expires.value,
	}
}
