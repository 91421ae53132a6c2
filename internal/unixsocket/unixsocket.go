// Package unixsocket listens on Unix sockets that are files: with a mode that lets in nobody but the owner and the
// group, and over what an earlier run has left behind, but never over what is somebody's.
package unixsocket

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// mode is the socket's. Whoever may write to a socket may connect to it: the owner and the group.
const mode = 0o660

// Listen listens on a Unix socket at path, which must be absolute. The folder must exist, and this user must be allowed
// to read and write it.
//
// The file's mode is 0660, whatever the umask. On Linux it is never wider; elsewhere it is for a moment what the umask
// leaves of 0777.
//
// A socket that nobody serves any more is replaced. One that is served is not, and it counts as served unless the system
// says that nobody listens: if its program is stopped or overloaded, or if this user may not ask. What is no socket is
// never removed, and a symbolic link at path is neither followed nor removed. Of several that call Listen at the same
// time, in this or in other processes, one gets the socket.
//
// Closing the listener removes the file, unless another has taken its place.
//
// The errors say what to do. They begin with the address, as in "unix:///run/broker.sock is …", and hold nothing secret
// but what is in path.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	// All that is done by name is done in this folder, even if another is put in its place meanwhile.
	folder, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		if info, lookErr := os.Stat(filepath.Dir(path)); lookErr == nil && !info.IsDir() {
			err = syscall.ENOTDIR // OpenRoot's own error for it cannot be told from others
		}
		return nil, explain(path, err)
	}
	l, err := listenIn(ctx, folder, path)
	if err != nil {
		_ = folder.Close() // it was only read
		return nil, err
	}
	return l, nil
}

func listenIn(ctx context.Context, folder *os.Root, path string) (*listener, error) {
	// Without it, a second broker could find the stale socket that a first one finds, and remove what that has put there
	// since. It is held until the socket listens: between bind and listen it looks as if nobody served it.
	defer lock(ctx, folder)()
	if err := makeWay(ctx, folder, path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: narrow}
	bound, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, explain(path, err)
	}
	l := &listener{UnixListener: bound.(*net.UnixListener), folder: folder, name: filepath.Base(path)}
	l.SetUnlinkOnClose(false) // it would remove whatever is there then
	if err := l.claim(path); err != nil {
		l.remove()
		_ = l.UnixListener.Close() // nothing has come in yet
		return nil, err
	}
	return l, nil
}

// claim remembers the file as this listener's, and gives it its mode.
func (l *listener) claim(path string) error {
	file, err := l.folder.Lstat(l.name)
	if err != nil {
		return replaced(path)
	}
	l.file = file
	// By way of the folder: where the app may write to it too, it could put a symbolic link here, and os.Chmod would open
	// the file with the secret to the group.
	failure := l.folder.Chmod(l.name, mode)
	// What has come of it is looked at: some file systems refuse every mode, and some take it and keep their own.
	file, err = l.folder.Lstat(l.name)
	switch {
	case err != nil || file.Mode().Type() != fs.ModeSocket:
		return replaced(path)
	case file.Mode().Perm() == mode:
		return nil
	case failure == nil:
		return problem(path, "has the mode %#o instead of 0660, as its file system wants it: set a path on a local file system", file.Mode().Perm())
	default:
		return problem(path, "has the mode %#o and cannot be given 0660 (%w): set a path on a local file system", file.Mode().Perm(), errors.Unwrap(failure))
	}
}
