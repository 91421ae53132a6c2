package tokensource

import (
	"cmp"
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

	"etrusted-broker/internal/filewatch"
)

// AccountsConfig tells what Accounts need.
type AccountsConfig struct {
	// Default is the origin of the account without a name; nil if there is none.
	Default *Origin
	// Dir is a folder with one folder for each further account, NAME/client_id and NAME/client_secret; empty if there
	// are none.
	Dir string
	// Source is what every source is made with, but for its account and origin.
	Source Config
	// Added and Removed, if not nil, are told of named accounts that come and go; Ignored of folders whose name no
	// account may have, and of a Dir that cannot be read. They are called by Run, and Ignored by NewAccounts too.
	Added, Removed func(account string)
	Ignored        func(problem string)
}

// maxFetching is how many token requests may be under way at once, over all accounts: a start with hundreds of them must
// not look like an attack to the login server.
const maxFetching = 8

// isAccountName reports whether a folder may be an account: a name of 1 to 63 lower-case letters, digits and hyphens, not
// beginning with a hyphen. It goes into paths, labels and messages as it is.
func isAccountName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	return name != "" && len(name) <= 63 && name[0] != '-' && strings.Trim(name, letters+"-") == ""
}

// Accounts are the sources of all accounts. They come, change and go while Run runs. All methods may be called at any
// time from any goroutine, except Run, which is called once.
type Accounts struct {
	config AccountsConfig
	// sources is replaced as a whole by Run's goroutine. The default account is in it under DefaultAccount.
	sources atomic.Pointer[map[string]*Source]
	running map[string]func() // ends a loop and waits for that; Run's goroutine alone knows them
	loops   sync.WaitGroup
	ignored map[string]bool // what was told already
	dirGone bool            // and whether this was
}

// NewAccounts returns the accounts that there are now. An error says what is wrong with Dir.
func NewAccounts(config AccountsConfig) (*Accounts, error) {
	for _, told := range []*func(string){&config.Added, &config.Removed, &config.Ignored} {
		if *told == nil {
			*told = func(string) {}
		}
	}
	config.Source.Slots = make(chan struct{}, maxFetching)
	a := &Accounts{config: config, running: map[string]func(){}, ignored: map[string]bool{}}
	sources := map[string]*Source{}
	if config.Default != nil {
		sources[DefaultAccount] = a.newSource(DefaultAccount, *config.Default)
	}
	a.sources.Store(&sources)
	if config.Dir == "" {
		return a, nil
	}
	a.config.Dir = filepath.Clean(config.Dir)
	names, err := a.list()
	if err != nil {
		return nil, err
	}
	a.replace(names)
	return a, nil
}

// Source returns the source of an account; that of the default account for an empty name.
func (a *Accounts) Source(name string) (*Source, bool) {
	if name == "" {
		name = DefaultAccount
	}
	source, ok := (*a.sources.Load())[name]
	return source, ok
}

// Snapshots returns one of each account: the default account first, then the others by name.
func (a *Accounts) Snapshots() []Snapshot {
	sources := *a.sources.Load()
	names := slices.SortedFunc(maps.Keys(sources), func(x, y string) int {
		switch {
		case x == DefaultAccount:
			return -1
		case y == DefaultAccount:
			return 1
		}
		return cmp.Compare(x, y)
	})
	snapshots := make([]Snapshot, len(names))
	for i, name := range names {
		snapshots[i] = sources[name].Snapshot()
	}
	return snapshots
}

// Run keeps the tokens of all accounts fresh and follows their files, until ctx is done.
func (a *Accounts) Run(ctx context.Context) {
	defer a.loops.Wait()
	a.start(ctx)
	filewatch.WatchDirs(ctx, a.folders, func() {
		dirIsThere := a.rescan(ctx)
		for name, source := range *a.sources.Load() {
			if dirIsThere || name == DefaultAccount { // or each would tell of the same
				source.Recheck()
			}
		}
	})
}

// folders are all that may bring a change.
func (a *Accounts) folders() []string {
	var folders []string
	if a.config.Dir != "" {
		folders = append(folders, a.config.Dir)
	}
	for _, source := range *a.sources.Load() {
		folders = append(folders, source.config.Origin.folders()...)
	}
	return folders
}

// rescan looks for accounts that have come or gone. It reports false if the folder cannot be read.
func (a *Accounts) rescan(ctx context.Context) bool {
	if a.config.Dir == "" {
		return true
	}
	names, err := a.list()
	if err != nil {
		// The folder may be in the middle of being replaced: what there is stays.
		if !a.dirGone {
			a.config.Ignored(err.Error())
		}
		a.dirGone = true
		return false
	}
	a.dirGone = false
	for _, name := range a.replace(names) {
		a.running[name]() // nothing is told of it after Removed
		delete(a.running, name)
		a.config.Removed(name)
	}
	a.start(ctx)
	return true
}

// replace makes the set of named accounts the given one, and returns the names of those that are gone.
func (a *Accounts) replace(names []string) (gone []string) {
	before := *a.sources.Load()
	after := map[string]*Source{}
	for name, source := range before {
		if name == DefaultAccount || slices.Contains(names, name) {
			after[name] = source
		} else {
			gone = append(gone, name)
		}
	}
	for _, name := range names {
		if after[name] == nil {
			after[name] = a.newSource(name, a.origin(name))
		}
	}
	a.sources.Store(&after)
	return gone
}

// start starts the loops of the sources that have none.
func (a *Accounts) start(ctx context.Context) {
	for name, source := range *a.sources.Load() {
		if a.running[name] != nil {
			continue
		}
		running, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		a.loops.Go(func() {
			defer close(ended)
			source.Run(running)
		})
		a.running[name] = func() {
			cancel()
			<-ended
		}
		if name != DefaultAccount {
			a.config.Added(name)
		}
	}
}

func (a *Accounts) newSource(name string, origin Origin) *Source {
	config := a.config.Source
	config.Account, config.Origin = name, origin
	return New(config)
}

func (a *Accounts) origin(name string) Origin {
	part := func(file string) Part {
		path := filepath.Join(a.config.Dir, name, file)
		return Part{Name: path, File: path}
	}
	return Origin{ID: part("client_id"), Secret: part("client_secret")}
}

// list returns the names of the accounts in Dir, sorted. A Kubernetes volume has its own hidden folders and symbolic
// links in it: what begins with a dot is passed over in silence, and a link to a folder counts as one.
func (a *Accounts) list() ([]string, error) {
	entries, err := os.ReadDir(a.config.Dir)
	if err != nil {
		return nil, fmt.Errorf("the folder of the accounts cannot be read: %w", withoutPath(err))
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		info, err := os.Stat(filepath.Join(a.config.Dir, name))
		switch {
		case name[0] == '.', errors.Is(err, fs.ErrNotExist), err == nil && !info.IsDir():
			continue // but what cannot be looked at for a moment is not gone
		case name == DefaultAccount:
			a.ignore(fmt.Sprintf("%q is no name for an account: it stands for the one without a name", name))
		case !isAccountName(name):
			a.ignore(fmt.Sprintf("%q is no name for an account: use a-z, 0-9 and -, beginning with a letter or digit, 63 at the most", name))
		default:
			names = append(names, name)
		}
	}
	return names, nil
}

// ignore tells of a problem, once.
func (a *Accounts) ignore(problem string) {
	if !a.ignored[problem] {
		a.ignored[problem] = true
		a.config.Ignored(problem)
	}
}
