// Package filewatch reports changes in directories, so that secrets and certificates can be reloaded.
package filewatch

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settleTime is how long no event must occur before a change is reported: an ID and a secret are written one after the other.
	// Files that were complete before they were moved to their place need only movedSettleTime: a removed key is refused
	// within a second.
	settleTime      = 900 * time.Millisecond
	movedSettleTime = 200 * time.Millisecond
	// maxSettleTime is when a change is reported although events continue.
	maxSettleTime = 5 * time.Second
	// pollInterval is for file systems without events (network mounts, some container runtimes) and for directories that do not
	// exist yet. A file that had not settled is read with the next poll, within the 8 s that docs/rotation.md promises.
	pollInterval = 7 * time.Second
)

// Trigger wakes a goroutine, such as that of WatchDirs. Pulls before it wakes are coalesced.
type Trigger chan struct{}

// NewTrigger returns a trigger for one goroutine.
func NewTrigger() Trigger { return make(Trigger, 1) }

// Pull wakes the goroutine soon. It does not wait.
func (t Trigger) Pull() {
	select {
	case t <- struct{}{}:
	default: // it will
	}
}

// WatchDirs calls checkForChanges at once and whenever something in the directories may have changed, and returns when ctx is done. It
// watches directories and not files because Kubernetes replaces a symbolic link next to a file, and editors replace the file.
//
// dirs is called again each time. Its paths must be as filepath.Clean returns them, because the watcher lists its paths
// in this form. If it returns none at first, checkForChanges is never called.
//
// Where there are no events, checkForChanges is still called every 7 s, and also when checkNow, which may be nil, is pulled, and
// again once files that were being written then have settled. All calls are made from one goroutine.
func WatchDirs(ctx context.Context, dirs func() []string, checkNow Trigger, checkForChanges func()) {
	if len(dirs()) == 0 {
		<-ctx.Done() // all values come from the environment, which cannot change
		return
	}
	var events chan fsnotify.Event
	var watcherErrors chan error
	watcher, err := fsnotify.NewWatcher()
	if err == nil { // or else, out of descriptors or watches, only the poll remains: a nil channel is never ready
		defer func() { _ = watcher.Close() }() // nothing is buffered
		events, watcherErrors = watcher.Events, watcher.Errors
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		checkForChanges()
		if watchOnly(watcher, dirs()) {
			checkForChanges() // a file may have changed just before its directory was added
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			ticker.Reset(pollInterval)
		case <-checkNow:
			ticker.Reset(settleTime)
		case <-watcherErrors: //nolint:errcheck // Such as an overflow of the event queue: there were changes.
		case event := <-events:
			waitUntilSettled(ctx, watcher, event)
		}
	}
}

// watchOnly watches dirs and no others, and reports whether it added one. It asks the watcher for its current list,
// because a directory that was removed and created again must be added again. A nil watcher watches nothing.
func watchOnly(watcher *fsnotify.Watcher, dirs []string) (added bool) {
	if watcher == nil {
		return false
	}
	watched := watcher.WatchList()
	for _, dir := range dirs {
		// A directory that does not exist yet is found by the poll.
		if !slices.Contains(watched, dir) && watcher.Add(dir) == nil {
			added = true
		}
	}
	for _, dir := range watched {
		if !slices.Contains(dirs, dir) {
			_ = watcher.Remove(dir) // it may no longer exist
		}
	}
	return added
}

// waitUntilSettled returns once no other event has followed for settleTime, or movedSettleTime, and at the latest after maxSettleTime.
func waitUntilSettled(ctx context.Context, watcher *fsnotify.Watcher, event fsnotify.Event) {
	limit := time.After(maxSettleTime)
	var until time.Time
	for {
		wait := settleTime
		if IsSettledOrMissing(event.Name) {
			wait = movedSettleTime
		}
		if at := time.Now().Add(wait); at.After(until) {
			until = at
		}
		select {
		case event = <-watcher.Events:
			continue
		case <-watcher.Errors: //nolint:errcheck // As above.
			continue
		case <-time.After(time.Until(until)):
		case <-limit:
		case <-ctx.Done():
		}
		return
	}
}

// IsSettledOrMissing reports whether the file at path was last written at least settleTime ago. Before that, it may be half
// written, and its old content should stay in use: WatchDirs calls again once it has settled. A file that is missing, or whose time
// is in the future because another machine keeps it, counts as settled.
func IsSettledOrMissing(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return true
	}
	age := time.Since(info.ModTime())
	return age < 0 || age >= settleTime
}
