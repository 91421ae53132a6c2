// Package unixsocket listens on Unix sockets in the file system. Only the owner and the group can connect.
package unixsocket

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// socketMode is that of the socket. Write permission is needed to connect: the owner and the group have it.
const socketMode = 0o660

// Listen listens on a Unix socket at path, which must be absolute, in a directory that must exist and be writable. The socket's mode
// is 0660, whatever the umask. On Linux it is never wider; elsewhere it is 0777 less the umask until it has been set. Closing the
// listener removes the file. Errors begin with the address, as in "unix:///run/broker.sock is …", and say what to do.
//
// Listen replaces a socket that no program listens on. It returns an error if a program does, if that cannot be determined, or if path
// is something else, such as a symbolic link. It is not safe to start two brokers on one path at the same time: the second may replace
// the socket of the first.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := validatePathSyntax(path); err != nil {
		return nil, err
	}
	if err := removeStaleSocket(ctx, path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: chmodBeforeBind}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, listenError(path, err)
	}
	if err := chmodAndVerify(path); err != nil {
		_ = l.Close() // no connection was accepted yet
		return nil, err
	}
	return l, nil
}

// chmodAndVerify adds the permissions that the umask removed, and verifies the result: some file systems refuse every
// mode, others accept it and keep their own.
func chmodAndVerify(path string) error {
	if dir, err := os.OpenRoot(filepath.Dir(path)); err == nil {
		// Not os.Chmod: an app that may write to the directory could put a symbolic link here, and os.Chmod would make
		// the file with the secret readable for the group.
		_ = dir.Chmod(filepath.Base(path), socketMode) // verified below
		_ = dir.Close()
	}
	file, err := os.Lstat(path)
	switch {
	case err != nil || file.Mode().Type() != fs.ModeSocket:
		return pathError(path, "was removed or replaced by another program: set a path in a directory where no other user can write")
	case file.Mode().Perm() != socketMode:
		return pathError(path, "has mode %#o, and its file system does not permit 0660: set a path on a local file system", file.Mode().Perm())
	}
	return nil
}

// existingSocketDialTimeout bounds the wait for a program that may listen on an existing socket.
const existingSocketDialTimeout = time.Second

// removeStaleSocket removes the socket at path if certainly no program listens on it: one that is stopped, or whose backlog is full,
// still does. It returns an error for anything else at path.
func removeStaleSocket(ctx context.Context, path string) error {
	if exists, err := socketExists(path); err != nil || !exists {
		return err
	}
	conn, err := (&net.Dialer{Timeout: existingSocketDialTimeout}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // nothing was sent
	}
	switch {
	case ctx.Err() != nil:
		return pathError(path, "was not checked: %w", context.Cause(ctx))
	case errors.Is(err, fs.ErrPermission):
		return pathError(path, "is a socket that this user cannot connect to: stop the program that listens on it, remove the socket if no program does, or set another path")
	case !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist):
		return listenError(path, syscall.EADDRINUSE)
	}
	switch err := os.Remove(path); {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		return pathError(path, "is left from an earlier run and cannot be removed by this user: remove it, or set another path")
	default:
		return listenError(path, err)
	}
}

// socketExists reports whether there is a socket at path. It returns an error for anything else there.
func socketExists(path string) (bool, error) {
	file, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, listenError(path, err)
	case file.Mode()&fs.ModeSymlink != 0:
		// Its target may change at any time, and may belong to another user.
		return false, pathError(path, "is a symbolic link: set the path of its target, or remove it")
	case file.IsDir():
		return false, pathError(path, "is a directory: set the path of a file in it, such as unix://%s", filepath.Join(path, "broker.sock"))
	case file.Mode()&fs.ModeSocket == 0:
		return false, pathError(path, "is a file, not a socket: set another path, or remove it if it is not needed")
	}
	return true, nil
}
