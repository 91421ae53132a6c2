package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"etrusted-broker/internal/spelling"
)

// The files that the broker reads in the directory of an account, and in that of a caller.
var (
	accountFiles = []string{"client_id", "client_secret", "api_url", "token_url", "audience", "scopes"}
	callerFiles  = []string{"key", "allow", "accounts", "expires", "certificate", "uid"}
)

// warnMisspeltFiles warns about files in a directory whose names look like misspelt ones: without them the account or the caller works,
// but not as it was meant. It warns about each once.
func (b *broker) warnMisspeltFiles(dir string, known []string) {
	entries, _ := os.ReadDir(dir) // that it cannot be read is said elsewhere
	for _, entry := range entries {
		name := entry.Name()
		if slices.Contains(known, name) || strings.HasSuffix(name, "~") { // or a backup of an editor
			continue
		}
		nearest, edits := spelling.Nearest(strings.ToLower(name), known)
		if isClose := edits <= 1+len(nearest)/7; !isClose { // of a short name, every other one is close
			continue
		}
		path := filepath.Join(dir, name)
		if _, warned := b.misspelt.LoadOrStore(path, nil); !warned {
			warn(b.log, "file-without-effect", fmt.Sprintf("%s is not a file that the broker reads; did you mean %s?", path, nearest))
		}
	}
}
