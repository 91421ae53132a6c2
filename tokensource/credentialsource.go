package tokensource

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"etrusted-broker/internal/filewatch"
)

// CredentialSource says where a set of credentials is read from.
type CredentialSource struct {
	ID, Secret CredentialFieldSource
	// Restart says, in a sentence, what makes the broker use corrected files; empty if it reads them by itself.
	Restart string
	// EnvironmentDir has the optional files api_url, token_url, audience and scopes; empty for a set without its own environment.
	EnvironmentDir string
}

// CredentialFieldSource says where one half of a pair is read from: a file, or a fixed value.
type CredentialFieldSource struct {
	Name  string // that the operator knows, for messages: a variable or a path
	File  string // if set, it is read each time, and Value is ignored
	Value Secret
}

// maxReads limits how often Read reads a set that changes between two reads.
const maxReads = 11

// Read returns the current set. The files may be replaced one after the other, and an old ID with a new secret is not a
// pair; so Read reads all until two consecutive reads agree. Its errors name the file and contain none of its content.
func (s CredentialSource) Read() (CredentialsAndEnvironment, error) {
	var previous CredentialsAndEnvironment
	for i := range maxReads {
		set, err := s.readOnce()
		if err != nil || i > 0 && set.Equal(previous) {
			return set, err
		}
		previous = set
	}
	return CredentialsAndEnvironment{}, errors.New("the credential files change too often to be read as a pair: write them less often")
}

func (s CredentialSource) readOnce() (CredentialsAndEnvironment, error) {
	id, errID := s.ID.read()
	secret, errSecret := s.Secret.read()
	environment, errEnvironment := s.ReadEnvironment()
	return CredentialsAndEnvironment{Credentials{ID: id, Secret: secret}, environment}, errors.Join(errID, errSecret, errEnvironment)
}

func (f CredentialFieldSource) read() (Secret, error) {
	if f.File == "" {
		return f.Value, nil
	}
	secret, err := ReadSecretFile(f.File)
	if err = HidePathUnlessExists(f.File, err); errors.Is(err, ErrHiddenPathNotFound) || errors.Is(err, ErrHiddenPathInaccessible) {
		err = fmt.Errorf("%s: %w", f.Name, err)
	}
	return secret, err
}

// setFiles are the paths of a set's files: ID, secret and environment. A path is empty if there is no file.
type setFiles [6]string

// fileTimes are when they were last written; zero for a value or a missing file.
type fileTimes [len(setFiles{})]time.Time

func (s CredentialSource) files() setFiles {
	return setFiles{
		s.ID.File, s.Secret.File,
		s.environmentFile(apiURLFile), s.environmentFile(tokenURLFile), s.environmentFile(audienceFile), s.environmentFile(scopesFile),
	}
}

func (s CredentialSource) modified() (at fileTimes) {
	for i, file := range s.files() {
		if info, err := os.Stat(file); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

// isSettled reports whether no file may be half written. If there may be an environment, its directory must have settled too: files
// that are moved into it one after the other may be old, and the next one may name another login server.
func (s CredentialSource) isSettled() bool {
	files := s.files()
	return !slices.ContainsFunc(append(files[:], s.EnvironmentDir), func(path string) bool { return !filewatch.IsSettledOrMissing(path) })
}

// dirs returns the directories to watch. The directory is watched and not the file, because Kubernetes swaps a symbolic
// link next to it, and editors replace it.
func (s CredentialSource) dirs() []string {
	var dirs []string
	for _, file := range s.files() {
		if file != "" {
			dirs = append(dirs, filepath.Dir(file))
		}
	}
	return slices.Compact(dirs) // usually all files are in the same directory
}

// Hints lists what looks unusual about a rejected pair, the most likely mistake first. They are guesses, so a pair is never
// refused because of them. They describe the form of the values and reveal none of the content.
func (s CredentialSource) Hints(rejected Credentials) []string {
	id, secret := rejected.ID.Reveal(), rejected.Secret.Reveal()
	switch {
	case id == secret:
		return []string{fmt.Sprintf("%s and %s have the same value.", s.ID.Name, s.Secret.Name)}
	case strings.Contains(secret, "__") && !strings.Contains(id, "__"):
		return []string{fmt.Sprintf("%s and %s are probably swapped: the secret looks like a Client ID.", s.ID.Name, s.Secret.Name)}
	}
	var hints []string
	for _, part := range []struct{ name, text string }{{s.ID.Name, id}, {s.Secret.Name, secret}} {
		switch {
		case dotenvAssignment.MatchString(part.text):
			hints = append(hints, part.name+" contains NAME=VALUE: write only the value into it.")
		case part.text != strings.Trim(part.text, " \t\r\n\"'`"):
			hints = append(hints, part.name+" begins or ends with quotes or spaces: remove them if they are not part of it.")
		}
	}
	if !strings.Contains(id, "-") && !strings.Contains(id, "__") {
		hints = append(hints, s.ID.Name+" looks like an Identifier without its prefix: Client ID = prefix + Identifier.")
	}
	return hints
}

// advise returns the advice about a rejected pair: first what looks unusual about it, and last how the broker learns of another one.
func (s CredentialSource) advise(rejected Credentials, advice string) string {
	if s.Restart != "" {
		advice = strings.Replace(advice, reloadAdvice, s.Restart, 1)
	}
	return strings.Join(append(s.Hints(rejected), advice), " ")
}

// dotenvAssignment matches a line of a .env file. A value in base64 may end with an equals sign.
var dotenvAssignment = regexp.MustCompile(`^(export +)?[A-Za-z]+_\w*=[^=]`)
