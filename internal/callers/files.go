package callers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

var errEmpty = errors.New("is empty")

// readNonEmptyLines returns the lines of a file that are not empty: at least one. Spaces at their ends stay, since they may be part
// of a key.
func readNonEmptyLines(path string) ([]string, error) {
	const maxSize = 64 << 10 // more than 500 patterns of an allow list need
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", tokensource.WithoutPath(err))
	case !info.Mode().IsRegular(): // opening a pipe would block until another process writes to it
		return nil, errors.New("is not a regular file")
	}
	file, err := os.Open(path) //nolint:gosec // G304: the path is below a directory that the operator has configured.
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", tokensource.WithoutPath(err))
	}
	defer func() { _ = file.Close() }() // only read from
	content, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", tokensource.WithoutPath(err))
	case len(content) > maxSize:
		return nil, errors.New("is larger than 64 KiB")
	}
	return splitNonEmptyLines(content)
}

// splitNonEmptyLines splits UTF-8 text into lines, without empty ones. A byte order mark and carriage returns at the ends of lines
// are removed.
func splitNonEmptyLines(content []byte) ([]string, error) {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	isControl := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !utf8.ValidString(text) || strings.ContainsFunc(text, isControl) {
		return nil, errors.New("is not UTF-8 text without control characters")
	}
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	if len(lines) == 0 {
		return nil, errEmpty
	}
	return lines, nil
}

// parsedKeys are access keys, and whether one of them can be guessed.
type parsedKeys struct {
	*access.Keys
	hasShort bool
}

func (a AcceptedCredentials) parseKeys(lines []string) (parsedKeys, error) {
	hasShort := false
	for _, line := range lines {
		if strings.ContainsFunc(line, unicode.IsSpace) { // a comment would be a key that is easy to guess
			return parsedKeys{}, errors.New("has a line with a space: write one key a line, and no comments")
		}
		hasShort = hasShort || len(line) < a.ShortKey
	}
	return parsedKeys{access.NewKeys(lines...), hasShort}, nil
}

func parseAllow(lines []string) (*access.RequestAllowList, error) {
	patterns, err := splitAtCommas(lines)
	if err != nil {
		return nil, err
	}
	rules, err := access.ParseAllowList(patterns)
	if err != nil {
		return nil, fmt.Errorf("cannot be used: %w", err)
	}
	return rules, nil
}

// parseAccounts returns each account once, even if it is listed twice: it is still one account of its API.
func parseAccounts(lines []string) (accounts []string, _ error) {
	names, err := splitAtCommas(lines)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !tokensource.IsAccountName(name) { // also of the default account
			return nil, errors.New("must contain names of accounts, one a line; default is the account without a name")
		}
		if !slices.Contains(accounts, name) {
			accounts = append(accounts, name)
		}
	}
	return accounts, nil
}

// splitAtCommas splits lines at commas. It fails if nothing is left: no pattern and no account must not mean all of them.
func splitAtCommas(lines []string) (items []string, _ error) {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
	}
	if len(items) == 0 {
		return nil, errEmpty
	}
	return items, nil
}

func parseExpires(lines []string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(lines[0]))
	if err != nil || len(lines) > 1 || at.IsZero() { // the zero time would mean that the access never ends
		return time.Time{}, errors.New("must contain one date and time as in RFC 3339, such as 2027-01-31T00:00:00Z")
	}
	return at, nil
}

// parseCertificates returns identities as CertificateIdentities does.
func (a AcceptedCredentials) parseCertificates(lines []string) ([]string, error) {
	if !a.Certificates {
		return nil, errors.New("needs BROKER_TLS_CLIENT_CA_FILE, without which clients present no certificates")
	}
	return parseIdentities(lines, func(line string) (string, error) {
		kind, value, _ := strings.Cut(line, ":")
		switch digest, err := hex.DecodeString(strings.ReplaceAll(value, ":", "")); {
		case kind == "dns" && value != "" && !strings.ContainsAny(value, "* /"):
			return dnsIdentity(value), nil
		case kind == "uri" && strings.Contains(value, ":"):
			return uriIdentity(value), nil
		case kind == "sha256" && err == nil && len(digest) == sha256.Size:
			return fingerprintIdentity(digest), nil
		default:
			return "", errors.New("must contain dns:NAME, uri:URI or sha256:FINGERPRINT, one a line, without wildcards")
		}
	})
}

// parseUsers returns identities as UserIdentity does.
func (a AcceptedCredentials) parseUsers(lines []string) ([]string, error) {
	if !a.Users {
		return nil, errors.New("works only on Linux")
	}
	// In place of each user that the broker's user namespace does not have, Linux reports this one: user_namespaces(7). With
	// systemd's PrivateUsers=yes, these are all users except root.
	const overflowUser = 65534
	return parseIdentities(lines, func(line string) (string, error) {
		uid, err := strconv.ParseUint(line, 10, 32)
		if err != nil {
			return "", errors.New("must contain numbers of users, one a line, as the command id -u prints them")
		}
		if uid == overflowUser {
			return "", fmt.Errorf("must not contain %d: in a user namespace, such as that of a service with PrivateUsers=yes, it stands for every other user", overflowUser)
		}
		return UserIdentity(uint32(uid)), nil
	})
}

// parseIdentities returns the identity in each line.
func parseIdentities(lines []string, parseLine func(line string) (identity string, _ error)) (identities []string, _ error) {
	for _, line := range lines {
		identity, err := parseLine(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		identities = append(identities, identity)
	}
	return identities, nil
}
