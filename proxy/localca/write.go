package localca

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
)

// create creates both files, unless another broker does so first.
//
// Both are written to temporary files, so that readers never see a partial file, and then hard-linked to their names.
// Unlike a rename, a link fails if the name exists: of several brokers, one links the key, and only that one links the
// certificate, which completes the pair. A lock would be no better: it needs a fallback where locks are missing (Windows,
// some network file systems), and any reader of the directory could hold it.
func (d *caDir) create(generate func() (filePair, error)) error {
	files, err := generate()
	if err != nil {
		return err
	}
	key, err := d.writeTemp(keyName, files.key, keyMode)
	if err != nil {
		return err
	}
	defer d.remove(key)
	cert, err := d.writeTemp(certName, files.cert, certMode)
	if err != nil {
		return err
	}
	defer d.remove(cert)

	if err := d.linkTemp(key, keyName); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil // another broker was faster
		}
		return err
	}
	if err := d.linkTemp(cert, certName); err != nil {
		d.remove(keyName) // it is ours, because linking never replaces a file
		return err
	}
	return nil
}

// writeTemp writes a file with a unique temporary name, and returns the name.
func (d *caDir) writeTemp(name string, content []byte, mode fs.FileMode) (string, error) {
	temp := "." + name + "-" + rand.Text()
	file, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyMode)
	if err != nil {
		return "", d.dirError(err)
	}
	_, err = file.Write(content)
	// The key keeps its initial mode. The certificate's mode is set explicitly, because the umask at its creation could
	// have removed the permissions that apps need to read it.
	if mode != keyMode {
		err = errors.Join(err, file.Chmod(mode))
	}
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		d.remove(temp)
		return "", d.fileErrorf(name, "cannot be written: %w", err)
	}
	return temp, nil
}

// linkTemp links a temporary file to its final name, durably: after a power failure there is only the key, or both
// files.
func (d *caDir) linkTemp(temp, name string) error {
	if err := d.root.Link(temp, name); err != nil {
		return d.fileErrorf(name, "cannot be linked: use a directory on a file system with hard links, or fix the cause: %w", err)
	}
	if dir, err := d.root.Open("."); err == nil {
		_ = dir.Sync() // not supported everywhere
		_ = dir.Close()
	}
	return nil
}

func (d *caDir) remove(name string) { _ = d.root.Remove(name) } // a leftover temporary file is harmless
