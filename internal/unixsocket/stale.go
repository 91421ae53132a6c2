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

// dialTimeout bounds the wait for a program that may listen on an existing socket.
const dialTimeout = time.Second

// removeStale removes the socket at path if certainly no program listens on it: one that is stopped, or whose backlog is full,
// still does. It returns an error for anything else at path.
func removeStale(ctx context.Context, path string) error {
	if exists, err := socketExists(path); err != nil || !exists {
		return err
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", path)
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
