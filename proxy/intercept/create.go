package intercept

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
)

// create makes the files, unless another broker is faster.
//
// Both are written under other names first, so that whoever finds one under its own name finds it whole, and then linked
// to their own. A link, unlike a rename, fails if the name is taken: of several brokers one gets the key's name, and that
// one alone goes on to the certificate, whose appearance completes the pair. A lock would not do it better. It needs a
// fallback where there is none (Windows, some network file systems), and whoever may read the folder can hold it.
func (f *folder) create(generate func() (pair, error)) error {
	files, err := generate()
	if err != nil {
		return err
	}
	key, err := f.writeAside(keyName, files.key, keyMode)
	if err != nil {
		return err
	}
	defer f.remove(key)
	cert, err := f.writeAside(certName, files.cert, certMode)
	if err != nil {
		return err
	}
	defer f.remove(cert)

	if err := f.publish(key, keyName); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil // another broker was faster
		}
		return err
	}
	if err := f.publish(cert, certName); err != nil {
		f.remove(keyName) // ours, since a link that succeeds replaces nothing
		return err
	}
	return nil
}

// writeAside writes a file under a name that nobody else uses, and returns that.
func (f *folder) writeAside(name string, content []byte, mode fs.FileMode) (string, error) {
	aside := "." + name + "-" + rand.Text()
	file, err := f.root.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyMode)
	if err != nil {
		return "", f.explain(err)
	}
	_, err = file.Write(content)
	// The key keeps the mode that it began with. The certificate's is set now: at its creation, the umask could have taken
	// what apps need to read it.
	if mode != keyMode {
		err = errors.Join(err, file.Chmod(mode))
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		f.remove(aside)
		return "", f.problem(name, "cannot be written: %w", err)
	}
	return aside, nil
}

// publish gives a file its name, for good: a power failure leaves the key without certificate or both, nothing else.
func (f *folder) publish(aside, name string) error {
	if err := f.root.Link(aside, name); err != nil {
		return f.problem(name, "cannot be put in its place, for which the file system must know hard links: set a folder on another one, or look into the cause: %w", err)
	}
	if dir, err := f.root.Open("."); err == nil {
		_ = dir.Sync() // not everywhere possible
		_ = dir.Close()
	}
	return nil
}

func (f *folder) remove(name string) { _ = f.root.Remove(name) } // what stays behind is only litter
