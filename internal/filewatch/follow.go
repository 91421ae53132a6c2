// Package filewatch notices that files have changed: secrets and certificates are replaced while the broker runs.
package filewatch

import (
	"context"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long it must be quiet before a change is looked at: an id and a secret are written one after the
	// other, and editors write in several steps.
	settle = 200 * time.Millisecond
	// restless is when a change is looked at although it is not quiet.
	restless = time.Second
	// poll is how often is looked without any event: some file systems (network mounts, some container runtimes) have
	// none, and a folder that did not exist could not be watched. Reading some small files costs nothing.
	poll = 15 * time.Second
)

// Folders calls look whenever something in the folders may have changed, the first time at once, and returns when ctx is
// done. It is folders that are watched and not files: Kubernetes swaps a symbolic link beside a file, and editors put a
// new one in its place. folders is asked again each time; its paths are in the form of filepath.Clean, in which the
// watcher tells what it has. If it names none at first, look is never called.
//
// That there are no events, for whatever reason, is no error: there is still a poll, every 15 s. look is called from one
// goroutine alone.
func WatchDirs(ctx context.Context, folders func() []string, look func()) {
	if len(folders()) == 0 {
		<-ctx.Done() // all comes from the environment, which cannot change
		return
	}
	watch := newWatch()
	defer watch.close()
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		look()
		if watch.cover(folders()) {
			look() // something may have been written into a folder just before it came under watch
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-watch.errors(): //nolint:errcheck // Such as too many events at once: something has happened.
		case <-watch.events():
			watch.quiet(ctx)
		}
	}
}

// watch is a watcher of folders; nil in it means that this machine has none to give.
type watch struct {
	watcher *fsnotify.Watcher
}

func newWatch() *watch {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return &watch{} // out of descriptors or watches: the poll has to do
	}
	return &watch{watcher}
}

func (w *watch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close() // nothing is lost by it
	}
}

// events is nil, and so never ready, where there is no watcher.
func (w *watch) events() <-chan fsnotify.Event {
	if w.watcher == nil {
		return nil
	}
	return w.watcher.Events
}

func (w *watch) errors() <-chan error {
	if w.watcher == nil {
		return nil
	}
	return w.watcher.Errors
}

// cover watches these folders and no others, and reports whether one of them was not watched before. A folder that was
// removed and made again needs a watch of its own, so the watcher is asked what it still has.
func (w *watch) cover(folders []string) (more bool) {
	if w.watcher == nil {
		return false
	}
	watched := w.watcher.WatchList()
	for _, folder := range folders {
		// A folder that is not there yet is seen by the poll.
		if !slices.Contains(watched, folder) && w.watcher.Add(folder) == nil {
			more = true
		}
	}
	for _, folder := range watched {
		if !slices.Contains(folders, folder) {
			_ = w.watcher.Remove(folder) // it may be gone already
		}
	}
	return more
}

// quiet returns once nothing has happened for a moment.
func (w *watch) quiet(ctx context.Context) {
	limit := time.NewTimer(restless)
	defer limit.Stop()
	for {
		calm := time.NewTimer(settle)
		select {
		case <-w.watcher.Events:
			calm.Stop()
			continue
		case <-w.watcher.Errors: //nolint:errcheck // As above.
			calm.Stop()
			continue
		case <-calm.C:
		case <-limit.C:
			calm.Stop()
		case <-ctx.Done():
			calm.Stop()
		}
		return
	}
}
