package localca

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

const (
	certName = "ca.crt"
	keyName  = "ca.key"

	certMode = 0o644 // apps run as other users
	keyMode  = 0o600

	maxFileSize = 64 << 10 // the broker's files have less than 2 KiB
)

// caDir is the directory of the files. All operations use the opened directory, even if it is replaced meanwhile.
type caDir struct{ root *os.Root }

func openExistingDir(dir string) (*caDir, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve the directory %s: %w", dir, err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, explainDirError(path, err)
	}
	return &caDir{root}, nil
}

func (d *caDir) filePath(name string) string { return filepath.Join(d.root.Name(), name) }

// readOrCreate returns the content of a file, and creates it if it is missing. It returns what is stored, which is another
// broker's if that was created first.
func (d *caDir) readOrCreate(name string, mode fs.FileMode, generate func() ([]byte, error)) ([]byte, error) {
	if !d.exists(name) {
		content, err := generate()
		if err != nil {
			return nil, err
		}
		if err := d.create(name, content, mode); err != nil {
			return nil, err
		}
	}
	return d.readFile(name)
}

// exists reports whether the name is taken, even by a dangling symbolic link, which would prevent creating the file.
func (d *caDir) exists(name string) bool {
	_, err := d.root.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// create creates a file, unless another broker does so first.
//
// It is written to a temporary file, so that readers never see a partial file, and then hard-linked to its name. Unlike a
// rename, a link fails if the name exists. A lock would be no better: it needs a fallback where locks are missing (Windows,
// some network file systems), and any reader of the directory could hold it.
func (d *caDir) create(name string, content []byte, mode fs.FileMode) error {
	temp := "." + name + "-" + rand.Text()
	file, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyMode)
	if err != nil {
		return explainDirError(d.root.Name(), err)
	}
	defer func() { _ = d.root.Remove(temp) }() // a leftover temporary file is harmless
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(mode)) // the umask could keep apps from reading the certificate
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return d.fileErrorf(name, "cannot be written: %w", err)
	}
	if err := d.root.Link(temp, name); err != nil && !errors.Is(err, fs.ErrExist) {
		return d.fileErrorf(name, "cannot be linked: use a directory on a file system with hard links, or fix the cause: %w", err)
	}
	if dir, err := d.root.Open("."); err == nil {
		_ = dir.Sync() // so that it survives a power failure; not supported everywhere
		_ = dir.Close()
	}
	return nil
}

func (d *caDir) readFile(name string) ([]byte, error) {
	var content []byte
	info, err := d.root.Stat(name)
	switch {
	case err != nil:
	case !info.Mode().IsRegular(): // opening a pipe would block until another process writes to it
		return nil, d.fileErrorf(name, "is not a regular file: remove it, or use another directory")
	// Windows has no file modes, and Go reports every file as world-readable.
	case name == keyName && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
		return nil, d.fileErrorf(name, "has mode %#o, which lets other users read or change it: chmod 600 it, or if another user may have read it, "+replaceAdvice, info.Mode().Perm())
	case info.Size() > maxFileSize:
		return nil, d.fileErrorf(name, "is too large: restore the original file, or "+replaceAdvice)
	default:
		content, err = d.root.ReadFile(name)
	}
	if err != nil {
		return nil, d.fileErrorf(name, "is not readable for the broker's user: change its owner: %w", err)
	}
	return content, nil
}

// explainDirError turns a system error about the directory into one that says what to do.
func explainDirError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the directory %s is not accessible for this user: grant read and write access, or use another directory", path)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the directory %s is read-only and contains no ca.crt and ca.key: add them, or use a writable directory (systemd: StateDirectory=)", path)
	default:
		return fmt.Errorf("the directory %s cannot be used: %w", path, err)
	}
}

func (d *caDir) fileErrorf(name, format string, args ...any) error {
	return fmt.Errorf("%s "+format, append([]any{d.filePath(name)}, args...)...)
}
