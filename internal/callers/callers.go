// Package callers reads the directory of callers: one directory for each program that may use the broker.
//
// What cannot be read never means that everything is allowed: a file that is empty or invalid keeps its last valid content, and a
// caller without any is refused.
package callers

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"etrusted-broker/internal/filewatch"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

// Directory reads callers. It is not safe for concurrent use.
type Directory struct {
	path     string
	accepted AcceptedCredentials
	known    map[string]*callerSettings // of the last reading, by name
}

// AcceptedCredentials says which kinds of credentials, besides keys, can identify a caller, and which keys are reported as short.
type AcceptedCredentials struct {
	// Certificates reports that clients present certificates, so that the file certificate can identify them.
	Certificates bool
	// Users reports that the system says which user is at the other end of a Unix socket, so that the file uid can.
	Users bool
	// ShortKey is the length in bytes below which a key is in Reading.ShortKeys.
	ShortKey int
}

// Reading is the result of reading a directory.
type Reading struct {
	// Callers are those that may use the broker.
	Callers []*access.Caller
	// ShortKeys are the names of those that have a key that can be guessed: see AcceptedCredentials.ShortKey.
	ShortKeys []string
	// Problems say what an operator should fix. They contain no content of a file, except a pattern of an allow list.
	Problems []string
}

// Open reads a directory for the first time. It fails if the directory cannot be read, or if two callers have a key, certificate or
// user in common.
func Open(dirPath string, accepted AcceptedCredentials) (*Directory, Reading, error) {
	d := &Directory{path: filepath.Clean(dirPath), accepted: accepted}
	reading, err := d.Read()
	if err != nil {
		return nil, Reading{}, err
	}
	return d, reading, nil
}

// Read reads the directory again. After an error, everything is as before.
func (d *Directory) Read() (Reading, error) {
	names, problems, err := d.names()
	if err != nil {
		return Reading{}, err
	}
	isFirst, isSettled := d.known == nil, filewatch.IsSettledOrMissing
	if isFirst { // there is no older content to use meanwhile
		isSettled = func(string) bool { return true }
	}
	current := map[string]*callerSettings{}
	for _, name := range names {
		next, faults := d.previous(name).read(filepath.Join(d.path, name), d.accepted, isSettled)
		current[name] = &next
		for _, fault := range faults {
			problems = append(problems, fmt.Sprintf("caller %q: %s", name, fault))
		}
	}
	for shared, owners := findSharedCredential(current); owners != nil; shared, owners = findSharedCredential(current) {
		if isFirst {
			return Reading{}, fmt.Errorf("the callers %q and %q have a key, certificate or user in common: give each its own", owners[0], owners[1])
		}
		// Before, they had nothing in common. So at least one of them did not have the credential, and its file gets the content before.
		for _, name := range owners {
			if current[name].revert(shared, d.previous(name).credentials) {
				problems = append(problems, fmt.Sprintf("the callers %q and %q would have a key, certificate or user in common: the change of %q is not used", owners[0], owners[1], name))
			}
		}
	}
	d.known = current
	return newReading(current, problems), nil
}

// newReading returns the reading of the callers with these settings. Those that are not usable are left out.
func newReading(current map[string]*callerSettings, problems []string) Reading {
	reading := Reading{Problems: problems}
	for _, name := range slices.Sorted(maps.Keys(current)) {
		s := current[name]
		if !s.usable() {
			continue
		}
		reading.Callers = append(reading.Callers, s.caller(name))
		if s.keys.value.hasShort {
			reading.ShortKeys = append(reading.ShortKeys, name)
		}
	}
	return reading
}

// previous returns the settings of the last reading. A caller that was not in it is refused.
func (d *Directory) previous(name string) callerSettings {
	if known := d.known[name]; known != nil {
		return *known
	}
	return callerSettings{refused: true}
}

// Watched returns the directories in which a change may matter.
func (d *Directory) Watched() []string {
	dirs := []string{d.path}
	for name := range d.known {
		dirs = append(dirs, filepath.Join(d.path, name))
	}
	return dirs
}

// KeyFile returns the path of a caller's file of keys.
func (d *Directory) KeyFile(caller string) string { return filepath.Join(d.path, caller, keyFile) }

// findSharedCredential returns a credential that two callers have in common, and these two; nil without one.
func findSharedCredential(current map[string]*callerSettings) (credential string, owners []string) {
	ownerOf := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(current)) {
		for _, credential := range current[name].identitiesAndKeyDigests() {
			if owner, taken := ownerOf[credential]; taken && owner != name {
				return credential, []string{owner, name}
			}
			ownerOf[credential] = name
		}
	}
	return "", nil
}

// names returns the names of the callers. As in the directory of accounts, what begins with a dot belongs to a mounted volume.
func (d *Directory) names() (names, problems []string, _ error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the directory of callers: %w", tokensource.WithoutPath(err))
	}
	for _, entry := range entries {
		name := entry.Name()
		info, err := os.Stat(filepath.Join(d.path, name))
		switch {
		case strings.HasPrefix(name, "."), errors.Is(err, fs.ErrNotExist), err == nil && !info.IsDir():
		case !tokensource.IsAccountName(name):
			problems = append(problems, fmt.Sprintf("%q is not a valid name of a caller: use at most 63 characters from a-z, 0-9 and -, beginning with a letter or digit", name))
		default:
			names = append(names, name)
		}
	}
	return names, problems, nil
}
