package intercept

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

	certMode = 0o644 // apps of other users read it
	keyMode  = 0o600

	// patience is how long another broker may take between its two files before they count as half a pair. It takes
	// microseconds, unless the machine is busy.
	patience = 2 * time.Second

	maxSize = 64 << 10 // ours have less than 2 KiB
)

// pair is the two files' content.
type pair struct{ cert, key []byte }

// errNone and errHalf may be different in a moment, since another broker may be at work.
var (
	errNone = errors.New("neither ca.crt nor ca.key")
	errHalf = errors.New("a key without its certificate")
)

// folder is where the files are. All is done within it, even if another is put in its place meanwhile.
type folder struct {
	dir  string
	root *os.Root
}

func openFolder(dir string) (*folder, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("the folder %s cannot be found: %w", dir, err)
	}
	f := &folder{dir: path}
	if f.root, err = os.OpenRoot(path); err != nil {
		if info, lookErr := os.Stat(path); lookErr == nil && !info.IsDir() {
			err = syscall.ENOTDIR // OpenRoot's own error for it cannot be told from others
		}
		return nil, f.explain(err)
	}
	return f, nil
}

func (f *folder) close() { _ = f.root.Close() } // it has no content of its own

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// readOrCreate reads the files, and makes them if there are none. What was made is read again: it is what others will
// find, and it is another broker's if that was faster.
func (f *folder) readOrCreate(generate func() (pair, error)) (pair, error) {
	for start := time.Now(); ; {
		files, err := f.read()
		hasTime := time.Since(start) < patience
		switch {
		case errors.Is(err, errNone) && hasTime:
			if err := f.create(generate); err != nil {
				return pair{}, err
			}
		case errors.Is(err, errHalf) && hasTime:
			<-time.After(5 * time.Millisecond)
		case errors.Is(err, errHalf):
			return pair{}, f.problem(keyName, "is there without ca.crt: put that back, or remove ca.key and start the broker again, and make the new ca.crt trusted in the apps")
		case errors.Is(err, errNone):
			return pair{}, f.problem(certName, "is removed by another program as soon as it is made: end that one, or set another folder")
		default:
			return files, err
		}
	}
}

// read looks for the certificate first, because create makes it last: if it is there, so was the key.
func (f *folder) read() (pair, error) {
	hasCert, certErr := f.has(certName)
	hasKey, keyErr := f.has(keyName)
	switch {
	case certErr != nil:
		return pair{}, f.explain(certErr)
	case keyErr != nil:
		return pair{}, f.explain(keyErr)
	case hasCert && !hasKey:
		return pair{}, f.problem(certName, "is there without ca.key: put that back, or "+another)
	case hasKey && !hasCert:
		return pair{}, errHalf
	case !hasCert:
		return pair{}, errNone
	}
	cert, err := f.readFile(certName)
	if err != nil {
		return pair{}, err
	}
	key, err := f.readFile(keyName)
	return pair{cert, key}, err
}

// has says whether the name is taken, be it by a symbolic link to nowhere: nothing can be made in its place.
func (f *folder) has(name string) (bool, error) {
	_, err := f.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (f *folder) readFile(name string) ([]byte, error) {
	// To open a pipe would wait for somebody to write into it.
	if info, err := f.root.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, f.problem(name, "is not a file: remove it, or set another folder")
	}
	file, err := f.root.Open(name)
	if err != nil {
		return nil, f.problem(name, "cannot be read, though it must be by the user that runs the broker: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, f.problem(name, "cannot be looked at: %w", err)
	}
	// Windows keeps no modes, and shows every file as readable by everybody.
	if mode := info.Mode().Perm(); name == keyName && mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, f.problem(name, "has mode %#o, with which others than its owner can use it: chmod 600 it, or if somebody else may have read it, "+another, mode)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	switch {
	case err != nil:
		return nil, f.problem(name, "cannot be read: %w", err)
	case len(content) > maxSize:
		return nil, f.problem(name, "is far too long: put back the file that the broker made, or "+another)
	}
	return content, nil
}

// explain makes an error that says what to do of one that the system gave about the folder.
func (f *folder) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.folderProblem("does not exist: create it for the user that runs the broker, with mode 0755 if apps are to read ca.crt there")
	case errors.Is(err, syscall.ENOTDIR):
		return f.folderProblem("is no folder: set the path of one")
	case errors.Is(err, fs.ErrPermission):
		return f.folderProblem("may not be used by this user: let it read and write there, or set another folder")
	case errors.Is(err, syscall.EROFS):
		return f.folderProblem("is read-only here and has no ca.crt and ca.key yet: put them there, or set a folder that can be written (under systemd, StateDirectory= makes one)")
	default:
		return f.folderProblem("cannot be used: %w", err)
	}
}

func (f *folder) folderProblem(format string, args ...any) error {
	return fmt.Errorf("the folder %s "+format, append([]any{f.dir}, args...)...)
}

func (f *folder) problem(name, format string, args ...any) error {
	return fmt.Errorf("%s "+format, append([]any{f.path(name)}, args...)...)
}
