package tokensource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"etrusted-broker/internal/filewatch"
)

// AccountsConfig configures Accounts.
type AccountsConfig struct {
	Default *CredentialSource // where the unnamed account's credentials are read from; nil if there is no such account
	// Dir is a directory with one directory for each named account, NAME/client_id and NAME/client_secret, and perhaps the files
	// of an environment; empty if there are no named accounts.
	Dir    string
	Source Config // of every source; its Account and Credentials are ignored
	// OnAdded and OnRemoved are called for each named account that appears or disappears, OnSkipped for each directory
	// whose name is invalid, and if Dir cannot be read. Run calls them; NewAccounts calls only OnSkipped. They may be nil.
	OnAdded, OnRemoved func(account string)
	OnSkipped          func(problem string)
}

// maxConcurrentFetchStarts limits concurrent token requests over all accounts, apart from those that take long: a start with hundreds of
// accounts must not look like an attack to the login server.
const maxConcurrentFetchStarts = 8

// IsAccountName reports whether a directory name is a valid name of an account: 1 to 63 lower-case letters, digits and hyphens,
// not beginning with a hyphen. Names go into paths, labels and messages unescaped.
func IsAccountName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	return name != "" && len(name) <= 63 && name[0] != '-' && strings.Trim(name, letters+"-") == ""
}

// Accounts holds the sources of all accounts. While Run runs, it adds, updates and removes them as their files change.
// All methods are safe for concurrent use, except Run, which must be called at most once.
type Accounts struct {
	config AccountsConfig
	// sources is replaced as a whole by Run's goroutine and never modified. It has the default account under DefaultAccount.
	sources  atomic.Pointer[map[string]*Source]
	rereads  filewatch.Trigger
	loops    sync.WaitGroup
	reported map[string]bool // the directories, and "" for Dir, whose problem was reported
}

// NewAccounts returns the accounts that exist now. An error says what is wrong with Dir or the configuration.
func NewAccounts(config AccountsConfig) (*Accounts, error) {
	config.Source.created = time.Now() // the files of a new account may be half written
	if err := config.Source.validate(); err != nil {
		return nil, err
	}
	config.Source.FetchSemaphore = make(chan struct{}, maxConcurrentFetchStarts)
	a := &Accounts{config: config, rereads: filewatch.NewTrigger(), reported: map[string]bool{}}
	if config.Dir != "" {
		a.config.Dir = filepath.Clean(config.Dir)
	}
	names, err := a.listNames()
	if err != nil {
		return nil, err
	}
	a.sources.Store(&map[string]*Source{})
	a.setNames(names)
	return a, nil
}

// Source returns the source of an account. An empty name means the default account.
func (a *Accounts) Source(name string) (*Source, bool) {
	if name == "" {
		name = DefaultAccount
	}
	source, ok := (*a.sources.Load())[name]
	return source, ok
}

// ReadEnvironments reads the environments of all accounts, with or without Run. It leaves out those that cannot be read.
func (a *Accounts) ReadEnvironments() map[string]APIEnvironment {
	environments := map[string]APIEnvironment{}
	for name, source := range *a.sources.Load() {
		if environment, err := source.config.Credentials.ReadEnvironment(); err == nil {
			environments[name] = environment
		}
	}
	return environments
}

// Snapshots returns a snapshot of each account: the default account first, then the others by name.
func (a *Accounts) Snapshots() []Snapshot {
	sources := *a.sources.Load()
	var snapshots []Snapshot
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		at := len(snapshots)
		if name == DefaultAccount {
			at = 0
		}
		snapshots = slices.Insert(snapshots, at, sources[name].Snapshot())
	}
	return snapshots
}

// Run keeps the tokens of all accounts fresh and watches their files, until ctx is done.
func (a *Accounts) Run(ctx context.Context) {
	defer a.loops.Wait()
	a.startSources(ctx)
	filewatch.WatchDirs(ctx, a.watchedDirs, a.rereads, func() {
		dirExists := a.rescan(ctx)
		for name, source := range *a.sources.Load() {
			if dirExists || name == DefaultAccount { // otherwise each named account would report the same problem
				source.ReloadCredentials()
			}
		}
	})
}

// Reread makes Run look at the accounts and their files at once.
func (a *Accounts) Reread() { a.rereads.Pull() }

// watchedDirs returns all directories in which a change may matter.
func (a *Accounts) watchedDirs() []string {
	var dirs []string
	if a.config.Dir != "" {
		dirs = append(dirs, a.config.Dir)
	}
	for _, source := range *a.sources.Load() {
		dirs = append(dirs, source.config.Credentials.dirs()...)
	}
	return dirs
}

// rescan adds and removes named accounts. It reports false if Dir cannot be read.
func (a *Accounts) rescan(ctx context.Context) bool {
	names, err := a.listNames()
	if err != nil {
		a.reportOnce("", err.Error())
		return false // Dir may be in the middle of being replaced, so all accounts stay
	}
	delete(a.reported, "")
	for _, removed := range a.setNames(names) {
		removed.stop() // before OnRemoved, so that no event of the account follows it
		if a.config.OnRemoved != nil {
			a.config.OnRemoved(removed.config.Account)
		}
	}
	a.startSources(ctx)
	return true
}

// setNames replaces the set of accounts, and returns the sources that were removed.
func (a *Accounts) setNames(names []string) (removed []*Source) {
	next := maps.Clone(*a.sources.Load())
	for name, source := range next {
		if !slices.Contains(names, name) {
			removed = append(removed, source)
			delete(next, name)
		}
	}
	for _, name := range names {
		if next[name] == nil {
			next[name] = a.newSource(name)
		}
	}
	a.sources.Store(&next)
	return removed
}

// startSources runs the sources that are not running yet.
func (a *Accounts) startSources(ctx context.Context) {
	for name, source := range *a.sources.Load() {
		if source.stop != nil {
			continue
		}
		running, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		a.loops.Go(func() {
			defer close(ended)
			source.Run(running)
		})
		source.stop = func() {
			cancel()
			<-ended
		}
		if name != DefaultAccount && a.config.OnAdded != nil {
			a.config.OnAdded(name)
		}
	}
}

func (a *Accounts) newSource(name string) *Source {
	config := a.config.Source
	config.Account = name
	if name == DefaultAccount {
		config.Credentials = *a.config.Default
	} else {
		dir := filepath.Join(a.config.Dir, name)
		id, secret := filepath.Join(dir, "client_id"), filepath.Join(dir, "client_secret")
		config.Credentials = CredentialSource{
			ID: CredentialFieldSource{Name: id, File: id}, Secret: CredentialFieldSource{Name: secret, File: secret}, EnvironmentDir: dir,
		}
	}
	return newSource(config)
}

// listNames returns the names of all accounts. A mounted Kubernetes volume contains hidden directories and symbolic links: names
// that begin with a dot are skipped silently, and a link to a directory counts as a directory.
func (a *Accounts) listNames() (names []string, err error) {
	if a.config.Default != nil {
		names = append(names, DefaultAccount)
	}
	if a.config.Dir == "" {
		return names, nil
	}
	entries, err := os.ReadDir(a.config.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the accounts directory: %w", WithoutPath(err))
	}
	for _, entry := range entries {
		name := entry.Name()
		info, err := os.Stat(filepath.Join(a.config.Dir, name))
		switch {
		case name[0] == '.', errors.Is(err, fs.ErrNotExist), err == nil && !info.IsDir():
			continue // after any other error of Stat the account stays
		case name == DefaultAccount:
			a.reportOnce(name, fmt.Sprintf("%q is not a valid account name: it is reserved for the unnamed account", name))
		case !IsAccountName(name):
			a.reportOnce(name, fmt.Sprintf("%q is not a valid account name: use at most 63 characters from a-z, 0-9 and -, beginning with a letter or digit", name))
		default:
			names = append(names, name)
		}
	}
	return names, nil
}

// reportOnce reports the problem of a directory, once.
func (a *Accounts) reportOnce(name, problem string) {
	if !a.reported[name] && a.config.OnSkipped != nil {
		a.reported[name] = true
		a.config.OnSkipped(problem)
	}
}
