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

// probeTime bounds how long a program may take to let in the connection that finds out whether it is there.
const probeTime = time.Second

// makeWay removes a socket at path that nobody serves. It returns an error if there is anything else.
func makeWay(ctx context.Context, folder *os.Root, path string) error {
	name := filepath.Base(path)
	file, err := folder.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return explain(path, err)
	case file.Mode()&fs.ModeSymlink != 0:
		// What it leads to may change between two looks, and may be somebody else's.
		return problem(path, "is a symbolic link: set the path that it leads to, or remove it")
	case file.IsDir():
		return problem(path, "is a folder: set the path of a file in it, such as unix://%s", filepath.Join(path, "broker.sock"))
	case file.Mode()&fs.ModeSocket == 0:
		return problem(path, "is a file, but no socket: set another path, or remove it if nobody needs it")
	}
	if err := checkStale(ctx, path); err != nil {
		return err
	}
	err = folder.Remove(name)
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		return problem(path, "is left over from another run, and may not be removed by this user: remove it, or set another path")
	default:
		return explain(path, err)
	}
}

// checkStale returns an error unless it is certain that nobody serves the socket. A program that does not answer, since
// it is stopped or has more connections waiting than it may, is there still.
func checkStale(ctx context.Context, path string) error {
	dialer := net.Dialer{Timeout: probeTime}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // that it came about is all that was to be known
	}
	switch {
	case ctx.Err() != nil:
		return problem(path, "was not looked at to the end: %w", context.Cause(ctx))
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		return problem(path, "is a socket that this user may not connect to: end the program that serves it, remove it if there is none, or set another path")
	default:
		return served(path)
	}
}
