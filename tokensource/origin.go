package tokensource

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Origin is where a pair of credentials comes from, so that it can be read again.
type CredentialSource struct {
	ID, Secret CredentialField
}

// Part is where one half of a pair comes from: a file, or a value that never changes.
type CredentialField struct {
	// Name is what the operator knows it by: a variable, or a path. It is used in messages.
	Name string
	// File is read each time, if it is set; Value is not used then.
	File  string
	Value Secret
}

// readAttempts bounds how often a pair is read anew because it changed between two looks.
const readAttempts = 10

// Read returns the pair as it is now. A pair may be replaced while it is read, and an id of before with a secret of
// after is none: so it is read until it was the same twice. Errors name the file and hold none of its content.
func (o CredentialSource) Read() (Credentials, error) {
	before, err := o.readOnce()
	if err != nil || o.fixed() {
		return before, err
	}
	for range readAttempts {
		now, err := o.readOnce()
		if err != nil {
			return Credentials{}, err
		}
		if now.Equal(before) {
			return now, nil
		}
		before = now
	}
	return Credentials{}, errors.New("the credential files change too fast to be read as a pair: write them less often")
}

func (o CredentialSource) readOnce() (Credentials, error) {
	id, errID := o.ID.read()
	secret, errSecret := o.Secret.read()
	return Credentials{ID: id, Secret: secret}, errors.Join(errID, errSecret)
}

func (p CredentialField) read() (Secret, error) {
	if p.File == "" {
		return p.Value, nil
	}
	return ReadSecretFile(p.File)
}

// fixed reports whether reading again is of no use.
func (o CredentialSource) fixed() bool { return o.ID.File == "" && o.Secret.File == "" }

// folders are those in which a change may mean another pair. It is the folder that is watched and not the file:
// Kubernetes swaps a symbolic link beside it, and editors put a new file in its place.
func (o CredentialSource) folders() []string {
	var folders []string
	for _, part := range []CredentialField{o.ID, o.Secret} {
		if part.File != "" {
			folders = append(folders, filepath.Dir(part.File))
		}
	}
	return slices.Compact(folders) // both halves are mostly in the same one
}

// hints names what is unusual about a pair that was rejected. They are guesses, so nothing is refused for them; and
// they are about the form alone, so they tell nothing of the text.
func (o CredentialSource) hints(pair Credentials) []string {
	var hints []string
	if id := pair.ID.Reveal(); !strings.Contains(id, "-") && !strings.Contains(id, "__") {
		hints = append(hints, o.ID.Name+" looks like an Identifier alone: the Client ID has a prefix before it.")
	}
	if isDecorated(pair.ID) {
		hints = append(hints, o.ID.Name+" has quotes or blanks around it: are they part of it?")
	}
	if isDecorated(pair.Secret) {
		hints = append(hints, o.Secret.Name+" has quotes or blanks around it: are they part of it?")
	}
	if pair.ID.Equal(pair.Secret) {
		hints = append(hints, fmt.Sprintf("%s and %s are the same text.", o.ID.Name, o.Secret.Name))
	}
	return hints
}

// isDecorated reports whether a value has blanks or quotes around it, as it gets from a .env file or a copied line.
func isDecorated(value Secret) bool {
	const decoration = " \t\r\n\"'`"
	text := value.Reveal()
	return text != "" && text != strings.Trim(text, decoration)
}
