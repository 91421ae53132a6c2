package unixsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

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
