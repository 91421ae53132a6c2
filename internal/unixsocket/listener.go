package unixsocket

import (
	"context"
	"io/fs"
	"net"
	"os"
	"sync"
)

// listener is a Unix listener that removes its file, and only that, when it is closed.
type listener struct {
	*net.UnixListener
	folder *os.Root
	name   string
	file   fs.FileInfo // as it was made; nil as long as it has not been looked at

	removed sync.Once
}

// Close removes the file, if it is this listener's still, and stops listening. Connections that were accepted stay.
func (l *listener) Close() error {
	l.removed.Do(func() {
		unlock := lock(context.Background(), l.folder)
		l.remove()
		unlock()
		_ = l.folder.Close() // it was only read
	})
	return l.UnixListener.Close()
}

// remove removes the file, if it is the one that was made. It is to be called while the socket is open: an open socket
// keeps its inode's number from being given to another file. A file that cannot be removed is replaced by the next run.
func (l *listener) remove() {
	now, err := l.folder.Lstat(l.name)
	if err == nil && l.file != nil && os.SameFile(now, l.file) {
		_ = l.folder.Remove(l.name)
	}
}
