package tokensource

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"etrusted-broker/internal/filewatch"
)

// CredentialSource says where a pair of credentials is read from.
type CredentialSource struct {
	ID, Secret CredentialField
}

// CredentialField says where one half of a pair is read from: a file, or a fixed value.
type CredentialField struct {
	// Name is the name that the operator knows, a variable or a path. It is used in messages.
	Name string
	// File, if set, is read each time and Value is ignored.
	File  string
	Value Secret
}

// maxReadAttempts limits how often a pair that changes between two reads is read again.
const maxReadAttempts = 10

// Read returns the current pair. The files may be replaced one after the other, and an old ID with a new secret is not a
// pair; so Read reads both until two consecutive reads agree. Its errors name the file and contain none of its content.
func (s CredentialSource) Read() (Credentials, error) {
	previous, err := s.readOnce()
	if err != nil || s.isStatic() {
		return previous, err
	}
	for range maxReadAttempts {
		pair, err := s.readOnce()
		if err != nil {
			return Credentials{}, err
		}
		if pair.Equal(previous) {
			return pair, nil
		}
		previous = pair
	}
	return Credentials{}, errors.New("the credential files change too often to be read as a pair: write them less often")
}

func (s CredentialSource) readOnce() (Credentials, error) {
	id, errID := s.ID.read()
	secret, errSecret := s.Secret.read()
	return Credentials{ID: id, Secret: secret}, errors.Join(errID, errSecret)
}

func (f CredentialField) read() (Secret, error) {
	if f.File == "" {
		return f.Value, nil
	}
	secret, err := ReadSecretFile(f.File)
	if err = HidePath(f.File, err); errors.Is(err, ErrFileNotFound) || errors.Is(err, ErrFileUnreadable) {
		err = fmt.Errorf("%s: %w", f.Name, err)
	}
	return secret, err
}

// modified returns when the ID's and the secret's file were last written; zero for a value or a missing file.
func (s CredentialSource) modified() (at [2]time.Time) {
	for i, field := range []CredentialField{s.ID, s.Secret} {
		if info, err := os.Stat(field.File); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

// isSettled reports whether neither file may be half written.
func (s CredentialSource) isSettled() bool {
	return filewatch.Settled(s.ID.File) && filewatch.Settled(s.Secret.File)
}

// isStatic reports whether the pair can never change.
func (s CredentialSource) isStatic() bool { return s.ID.File == "" && s.Secret.File == "" }

// dirs returns the directories to watch. The directory is watched and not the file, because Kubernetes swaps a symbolic
// link next to it, and editors replace it.
func (s CredentialSource) dirs() []string {
	var dirs []string
	for _, field := range []CredentialField{s.ID, s.Secret} {
		if field.File != "" {
			dirs = append(dirs, filepath.Dir(field.File))
		}
	}
	return slices.Compact(dirs) // usually both files are in the same directory
}

// hints lists what looks unusual about a rejected pair. They are guesses, so a pair is never refused because of them.
// They describe the form of the values and reveal none of the content.
func (s CredentialSource) hints(pair Credentials) []string {
	var hints []string
	if id := pair.ID.Reveal(); !strings.Contains(id, "-") && !strings.Contains(id, "__") {
		hints = append(hints, s.ID.Name+" looks like an Identifier without its prefix: Client ID = prefix + Identifier.")
	}
	if isQuotedOrPadded(pair.ID) {
		hints = append(hints, s.ID.Name+" begins or ends with quotes or spaces: remove them if they are not part of it.")
	}
	if isQuotedOrPadded(pair.Secret) {
		hints = append(hints, s.Secret.Name+" begins or ends with quotes or spaces: remove them if they are not part of it.")
	}
	if pair.ID.Equal(pair.Secret) {
		hints = append(hints, fmt.Sprintf("%s and %s have the same value.", s.ID.Name, s.Secret.Name))
	}
	return hints
}

// isQuotedOrPadded reports whether a value begins or ends with white space or quotes, as values copied from a .env file
// or a terminal sometimes do.
func isQuotedOrPadded(value Secret) bool {
	const padding = " \t\r\n\"'`"
	text := value.Reveal()
	return text != "" && text != strings.Trim(text, padding)
}
