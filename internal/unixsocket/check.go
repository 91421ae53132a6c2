package unixsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"syscall"
)

// CheckPath returns an error if it is certain that Listen would fail, without changing anything. It does not find out whether a
// program listens on a socket at path.
func CheckPath(path string) error {
	if err := validatePathSyntax(path); err != nil {
		return err
	}
	if err := checkWritable(filepath.Dir(path)); err != nil {
		return listenError(path, err)
	}
	_, err := socketExists(path)
	return err
}

// validatePathSyntax returns an error if path cannot be the path of a socket.
func validatePathSyntax(path string) error {
	// The kernel's field, less the final zero byte.
	const maxLength = len(syscall.RawSockaddrUnix{}.Path) - 1
	switch {
	case runtime.GOOS == "windows":
		return pathError(path, "cannot be protected from other users on Windows, where a socket has no mode: set HOST:PORT, such as 127.0.0.1:8080")
	case filepath.Clean(path) != path:
		return pathError(path, "has an empty part or one of dots: write it as unix://%s", filepath.Clean(path))
	case len(path) > maxLength:
		return pathError(path, "is too long: a socket's path may have %d bytes on this system, and this one has %d: set a shorter one", maxLength, len(path))
	}
	return nil
}

// listenError returns an error that says what to do about a system error.
func listenError(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return pathError(path, "is in use by another program, perhaps another broker: stop it, or set another path")
	case errors.Is(err, fs.ErrNotExist):
		return pathError(path, "is in a directory that does not exist: create it for the user that runs the broker, or set another path")
	case errors.Is(err, syscall.ENOTDIR):
		return pathError(path, "is below a file that is not a directory: set another path")
	case errors.Is(err, fs.ErrPermission):
		return pathError(path, "cannot be created by this user: let it read and write the directory, or set another path")
	case errors.Is(err, syscall.EROFS):
		return pathError(path, "is in a read-only directory: set a path in a writable one (systemd: RuntimeDirectory= creates one)")
	default:
		return pathError(path, "cannot be listened on: %w", err)
	}
}

func pathError(path, format string, args ...any) error {
	return fmt.Errorf("unix://%s "+format, append([]any{path}, args...)...)
}
