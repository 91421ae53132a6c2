package tokensource

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"unicode/utf8"
)

// Credentials authenticate a client at the token endpoint (RFC 6749 section 2.3.1). They are only replaced together. The ID is
// protected like the secret, because it is half of what an attacker needs.
type Credentials struct {
	ID, Secret Secret
}

// maxSecretFileSize limits what is read of a secret file. A client secret has a few dozen bytes; a larger file is one named by mistake.
const maxSecretFileSize = 4 << 10

// The errors of HidePathUnlessExists, and that of an empty file.
var (
	ErrHiddenPathNotFound     = errors.New("file not found")
	ErrHiddenPathInaccessible = errors.New("cannot be read: check the path and the permissions of its directories")
	ErrEmptySecret            = errors.New("is empty: write the value into it")
)

// HidePathUnlessExists returns err, the error of reading a file, or one without the path if that cannot be examined: then it may be the
// secret itself, written into the wrong variable.
func HidePathUnlessExists(path string, err error) error {
	if err == nil {
		return nil
	}
	switch _, missing := os.Lstat(path); {
	case errors.Is(missing, fs.ErrNotExist):
		return ErrHiddenPathNotFound
	case missing != nil:
		return ErrHiddenPathInaccessible
	default:
		return err
	}
}

// ReadSecretFile reads one secret from a file, as Docker, Kubernetes and systemd mount them; see ParseSecret. Its errors
// name the path and what to do, and contain none of the content.
func ReadSecretFile(path string) (Secret, error) { return parseSecretFile(path, ParseSecret) }

// ReadSecretLines reads secrets from a file as ReadSecretFile does, one a line, and at least one. Empty lines are ignored.
func ReadSecretLines(path string) ([]Secret, error) { return parseSecretFile(path, parseSecretLines) }

func parseSecretLines(content []byte) ([]Secret, error) {
	isBlank := func(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }
	lines := slices.DeleteFunc(bytes.Split(content, []byte("\n")), isBlank)
	if len(lines) == 0 || len(content) > maxSecretFileSize {
		lines = [][]byte{content} // which is invalid as a whole
	}
	var secrets []Secret
	for _, line := range lines {
		secret, err := ParseSecret(line)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// parseSecretFile reads a file and parses its content. parse refuses more than maxSecretFileSize bytes, and never gets many more.
func parseSecretFile[T any](path string, parse func(content []byte) (T, error)) (value T, err error) {
	content, err := readRegularFilePrefix(path, maxSecretFileSize+1)
	if err != nil {
		return value, fmt.Errorf("cannot read %s: %w", path, err)
	}
	if value, err = parse(content); err != nil {
		return value, fmt.Errorf("%s %w", path, err)
	}
	return value, nil
}

// readRegularFilePrefix returns the content of a file, up to maxBytes. Its errors do not repeat the path.
func readRegularFilePrefix(path string, maxBytes int64) ([]byte, error) {
	switch info, err := os.Stat(path); {
	case err != nil:
		return nil, WithoutPath(err)
	case info.IsDir():
		return nil, errors.New("it is a directory: use the path of a file in it")
	case !info.Mode().IsRegular(): // opening a pipe would block until another process writes to it
		return nil, errors.New("it is a pipe or a device, which can be read only once: use a regular file")
	}
	file, err := os.Open(path) //nolint:gosec // G304: the operator's own configuration names the path.
	if err != nil {
		return nil, WithoutPath(err)
	}
	defer func() { _ = file.Close() }() // only read from
	content, err := io.ReadAll(io.LimitReader(file, maxBytes))
	return content, WithoutPath(err)
}

// WithoutPath removes the path from an error of package os, so that a message names it once.
func WithoutPath(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// ParseSecret returns the secret in a file's content: one line of UTF-8 text. A byte order mark and trailing line breaks
// (LF, CRLF) are removed, because editors and echo add them unnoticed. Spaces and quotes stay: they may be part of the
// secret. The error says what is wrong without quoting the content.
func ParseSecret(content []byte) (Secret, error) {
	if len(content) > maxSecretFileSize {
		return Secret{}, fmt.Errorf("is larger than %d bytes: use the right file", maxSecretFileSize)
	}
	content = bytes.TrimLeft(content, "\ufeff") // a tool that adds one before another produces two
	content = bytes.TrimRight(content, "\r\n")
	switch {
	case len(bytes.TrimSpace(content)) == 0:
		return Secret{}, ErrEmptySecret
	case bytes.IndexByte(content, 0) >= 0 || !utf8.Valid(content):
		return Secret{}, errors.New("is not UTF-8 text: save it as UTF-8, without formatting")
	case bytes.ContainsAny(content, "\r\n"):
		return Secret{}, errors.New("has more than one line: write only the value into it")
	case bytes.ContainsFunc(content, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }):
		return Secret{}, errors.New("contains control characters: write only the value into it")
	}
	return NewSecret(string(content)), nil
}

// Secret is text that must never be shown: a client ID, a client secret, an access token. Formatting or encoding a
// Secret, or a struct that contains one, reveals only its size, whichever way (any fmt verb, JSON, a logger's
// reflection). The zero value is the empty secret.
//
// The text is behind a pointer, because fmt does not call the methods of unexported fields: it would print a string, but
// prints only the address of a pointer.
type Secret struct {
	text *string
}

// NewSecret returns text as a Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text. Each call is a place where a secret could leak, so there should be few.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Equal reports whether both are the same text, in time that does not depend on where they differ.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns "(not set)" or the size: "(set, 36 bytes)".
func (s Secret) String() string {
	if s.text == nil {
		return "(not set)"
	}
	return fmt.Sprintf("(set, %d bytes)", len(*s.text))
}

// Format implements fmt.Formatter: every verb prints String. Without it %x or %#v would show the text.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String()) // fmt ignores it
}

// MarshalText implements encoding.TextMarshaler: encoders (JSON, loggers) write String.
func (s Secret) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}
