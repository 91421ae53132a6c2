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

// callerSettings are what the files of a caller say.
type callerSettings struct {
	credentials
	allow    optionalFileContent[*access.RequestAllowList]
	accounts optionalFileContent[[]string]
	expires  optionalFileContent[time.Time]
	refused  bool // a file is invalid, and never was valid; or nothing was read yet
}

// credentials are what identifies a caller.
type credentials struct {
	keys         optionalFileContent[parsedKeys]
	certificates optionalFileContent[[]string]
	users        optionalFileContent[[]string]
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
func (c *credentials) revert(credential string, before credentials) (reverted bool) {
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

// optionalFileContent is the content of an optional file: the last that was valid. The zero value is a file that does not exist.
type optionalFileContent[T any] struct {
	value  T
	exists bool
}

// read returns the settings after reading the files in a directory, and the problems with them. s has the settings before.
func (s callerSettings) read(dir string, accepted AcceptedCredentials, isSettled func(path string) bool) (callerSettings, []string) {
	// Without access to the directory, a missing file cannot be distinguished from one that exists. Any file shows that.
	if _, err := os.Stat(filepath.Join(dir, keyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, []string{fmt.Sprintf("%s cannot be read: %v; the caller stays as it was", dir, tokensource.WithoutPath(err))}
	}
	r := callerFileReader{dir: dir, isSettled: isSettled, refused: s.refused && !isSettled(dir)} // more files may follow
	updateFromFile(&r, &s.keys, keyFile, false, accepted.parseKeys)
	updateFromFile(&r, &s.certificates, "certificate", false, accepted.parseCertificates)
	updateFromFile(&r, &s.users, "uid", false, accepted.parseUsers)
	updateFromFile(&r, &s.allow, "allow", true, parseAllow)
	updateFromFile(&r, &s.accounts, "accounts", true, parseAccounts)
	updateFromFile(&r, &s.expires, "expires", true, parseExpires)
	if s.refused = r.refused; !s.refused && !s.usable() {
		r.problems = append(r.problems, "it has no file key, certificate or uid; the caller is refused")
	}
	return s, r.problems
}

// callerFileReader reads the files of a caller.
type callerFileReader struct {
	dir       string
	isSettled func(path string) bool
	refused   bool // see settings
	problems  []string
}

// updateFromFile reads a file into content. If it cannot be used, the last valid content stays, and without any the caller is
// refused. With isRestriction, the caller may do more without the file. Some editors replace a file by moving it away first, so
// such a file is missing only once its directory has settled.
func updateFromFile[T any](r *callerFileReader, content *optionalFileContent[T], name string, isRestriction bool, parse func(lines []string) (T, error)) {
	path := filepath.Join(r.dir, name)
	lines, err := readNonEmptyLines(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !isRestriction || r.isSettled(r.dir) {
			*content = optionalFileContent[T]{}
		}
		return
	}
	mayBeHalfWritten := err == nil && !r.isSettled(path)
	if err == nil && !mayBeHalfWritten {
		var value T
		if value, err = parse(lines); err == nil {
			*content = optionalFileContent[T]{value, true}
			return
		}
	}
	consequence := "its last valid content stays in use"
	if !content.exists {
		r.refused = true
		consequence = "the caller is refused"
	}
	if !mayBeHalfWritten {
		r.problems = append(r.problems, fmt.Sprintf("%s %v; %s", path, err, consequence))
	}
}

// usable reports whether the caller is not refused, and has a key or an identity.
func (s *callerSettings) usable() bool { return !s.refused && len(s.identitiesAndKeyDigests()) > 0 }

func (s *callerSettings) caller(name string) *access.Caller {
	accounts := []string{tokensource.DefaultAccount}
	if s.accounts.exists {
		accounts = s.accounts.value
	}
	return &access.Caller{
		Name: name, Keys: s.keys.value.Keys, Identities: s.identities(),
		AllowList: s.allow.value, Accounts: accounts, Expires: s.expires.value,
	}
}
