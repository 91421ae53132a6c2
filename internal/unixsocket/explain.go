package unixsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"syscall"
)

// Check tells why a path cannot be listened on, as far as can be told without touching anything.
func Check(path string) error {
	if err := checkPath(path); err != nil {
		return err
	}
	if err := mayCreateIn(filepath.Dir(path)); err != nil {
		return explain(path, err)
	}
	return nil
}

// checkPath refuses what cannot be listened on, before anything is touched.
func checkPath(path string) error {
	// The kernel's field, less the byte that ends it.
	const longest = len(syscall.RawSockaddrUnix{}.Path) - 1
	switch {
	case runtime.GOOS == "windows":
		return problem(path, "cannot be kept from other users on Windows, where a socket has no mode: set HOST:PORT, such as 127.0.0.1:8080")
	case !filepath.IsAbs(path):
		return problem(path, "is not an absolute path: begin it with a third slash, as in unix:///run/broker.sock")
	case filepath.Clean(path) != path:
		return problem(path, "has a part that is empty or made of dots: write it as unix://%s", filepath.Clean(path))
	case filepath.Dir(path) == path:
		return problem(path, "is a folder: set the path of a file, such as unix:///run/broker.sock")
	case len(path) > longest:
		return problem(path, "is too long: a socket's path may have %d bytes here, and this one has %d: set a shorter one", longest, len(path))
	}
	return nil
}

// explain makes an error that says what to do of one that the system gave.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE): // by one who does not lock the folder
		return served(path)
	case errors.Is(err, fs.ErrNotExist):
		return problem(path, "is in a folder that does not exist: create it for the user that runs the broker, or set another path")
	case errors.Is(err, syscall.ENOTDIR):
		return problem(path, "is below something that is no folder: set another path")
	case errors.Is(err, fs.ErrPermission):
		return problem(path, "may not be created by this user: let it read and write the folder, or set another path")
	case errors.Is(err, syscall.EROFS):
		return problem(path, "is in a folder that is read-only here: set a path in one that is not (under systemd, RuntimeDirectory= makes one)")
	default:
		return problem(path, "cannot be listened on: %w", err)
	}
}

func served(path string) error {
	return problem(path, "is served by another program, perhaps another broker: end that one, or set another path")
}

func replaced(path string) error {
	return problem(path, "was removed or replaced by another program at once: set a path in a folder where nobody else may write")
}

func problem(path, format string, args ...any) error {
	return fmt.Errorf("unix://%s "+format, append([]any{path}, args...)...)
}
