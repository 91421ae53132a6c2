package localca

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	certName = "ca.crt"
	keyName  = "ca.key"

	certMode = 0o644 // apps run as other users
	keyMode  = 0o600

	// maxPeerWait is how long to wait for another broker that has created the key but not yet the certificate. It takes
	// microseconds, unless the machine is busy.
	maxPeerWait = 2 * time.Second

	maxFileSize = 64 << 10 // the broker's files have less than 2 KiB
)

// filePair is the content of both files.
type filePair struct{ cert, key []byte }

// errNoFiles and errKeyOnly may be temporary, because another broker may be creating the files.
var (
	errNoFiles = errors.New("neither ca.crt nor ca.key exists")
	errKeyOnly = errors.New("ca.key exists without ca.crt")
)

// caDir is the directory of the files. All operations use the opened directory, even if it is replaced meanwhile.
type caDir struct {
	path string
	root *os.Root
}

func openDir(dir string) (*caDir, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve the directory %s: %w", dir, err)
	}
	d := &caDir{path: abs}
	if d.root, err = os.OpenRoot(abs); err != nil {
		if info, statErr := os.Stat(abs); statErr == nil && !info.IsDir() {
			err = syscall.ENOTDIR // OpenRoot's own error is not distinguishable from others
		}
		return nil, d.dirError(err)
	}
	return d, nil
}

func (d *caDir) close() { _ = d.root.Close() } // nothing is buffered

func (d *caDir) filePath(name string) string { return filepath.Join(d.path, name) }

// readOrCreate reads the files, and creates them if they are missing. It always returns what is stored, which is another
// broker's CA if that was created first.
func (d *caDir) readOrCreate(generate func() (filePair, error)) (filePair, error) {
	for start := time.Now(); ; {
		files, err := d.read()
		hasTime := time.Since(start) < maxPeerWait
		switch {
		case errors.Is(err, errNoFiles) && hasTime:
			if err := d.create(generate); err != nil {
				return filePair{}, err
			}
		case errors.Is(err, errKeyOnly) && hasTime:
			<-time.After(5 * time.Millisecond)
		case errors.Is(err, errKeyOnly):
			return filePair{}, d.fileErrorf(keyName, "exists without ca.crt: restore ca.crt, or remove ca.key, restart the broker, and make the apps trust the new ca.crt")
		case errors.Is(err, errNoFiles):
			return filePair{}, d.fileErrorf(certName, "is removed by another program as soon as it is created: stop that program, or use another directory")
		default:
			return files, err
		}
	}
}

// read checks for the certificate first, because create links it last: if it exists, so does the key.
func (d *caDir) read() (filePair, error) {
	hasCert, certErr := d.exists(certName)
	hasKey, keyErr := d.exists(keyName)
	switch {
	case certErr != nil:
		return filePair{}, d.dirError(certErr)
	case keyErr != nil:
		return filePair{}, d.dirError(keyErr)
	case hasCert && !hasKey:
		return filePair{}, d.fileErrorf(certName, "exists without ca.key: restore ca.key, or "+replaceAdvice)
	case hasKey && !hasCert:
		return filePair{}, errKeyOnly
	case !hasCert:
		return filePair{}, errNoFiles
	}
	cert, err := d.readFile(certName)
	if err != nil {
		return filePair{}, err
	}
	key, err := d.readFile(keyName)
	return filePair{cert, key}, err
}

// exists reports whether the name is taken, even by a dangling symbolic link, which would prevent creating the file.
func (d *caDir) exists(name string) (bool, error) {
	_, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (d *caDir) readFile(name string) ([]byte, error) {
	// Opening a pipe would block until another process writes to it.
	if info, err := d.root.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, d.fileErrorf(name, "is not a regular file: remove it, or use another directory")
	}
	file, err := d.root.Open(name)
	if err != nil {
		return nil, d.fileErrorf(name, "is not readable for the broker's user: change its owner: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, d.fileErrorf(name, "cannot be examined: %w", err)
	}
	// Windows has no file modes, and Go reports every file as world-readable.
	if mode := info.Mode().Perm(); name == keyName && mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, d.fileErrorf(name, "has mode %#o, which lets other users read or change it: chmod 600 it, or if another user may have read it, "+replaceAdvice, mode)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	switch {
	case err != nil:
		return nil, d.fileErrorf(name, "cannot be read: %w", err)
	case len(content) > maxFileSize:
		return nil, d.fileErrorf(name, "is too large: restore the original file, or "+replaceAdvice)
	}
	return content, nil
}

// dirError turns a system error about the directory into one that says what to do.
func (d *caDir) dirError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.dirErrorf("does not exist: create it for the broker's user, with mode 0755 if apps read ca.crt there")
	case errors.Is(err, syscall.ENOTDIR):
		return d.dirErrorf("is not a directory: use the path of a directory")
	case errors.Is(err, fs.ErrPermission):
		return d.dirErrorf("is not accessible for this user: grant read and write access, or use another directory")
	case errors.Is(err, syscall.EROFS):
		return d.dirErrorf("is read-only and contains no ca.crt and ca.key: add them, or use a writable directory (systemd: StateDirectory=)")
	default:
		return d.dirErrorf("cannot be used: %w", err)
	}
}

func (d *caDir) dirErrorf(format string, args ...any) error {
	return fmt.Errorf("the directory %s "+format, append([]any{d.path}, args...)...)
}

func (d *caDir) fileErrorf(name, format string, args ...any) error {
	return fmt.Errorf("%s "+format, append([]any{d.filePath(name)}, args...)...)
}
