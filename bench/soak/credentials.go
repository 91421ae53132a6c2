package soak

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// credentials are the files that the broker reads.
type credentials struct {
	dir      string
	searcher *searcher
	pair     pair // in the files
}

type pair struct{ id, secret string }

// newPair makes up a Client ID and a Client Secret, and adds them to what is searched for.
func (c *credentials) newPair() pair {
	p := pair{"c4n4ryc1d000__" + marker + rand.Text(), marker + "-" + rand.Text()}
	c.searcher.add(p.id)
	c.searcher.add(p.secret)
	return p
}

func (c *credentials) idFile() string     { return filepath.Join(c.dir, "client_id") }
func (c *credentials) secretFile() string { return filepath.Join(c.dir, "client_secret") }

// write replaces the files.
func (c *credentials) write(p pair) error {
	c.pair = p
	return errors.Join(replaceFile(c.idFile(), p.id), replaceFile(c.secretFile(), p.secret))
}

// replaceFile writes a file so that no reader sees half of it.
func replaceFile(path, text string) error {
	if err := os.WriteFile(path+".new", fmt.Appendln(nil, text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
