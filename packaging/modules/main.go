// modules writes what a release says about the Go modules that are linked into the broker. Run it in the broker's module:
//
//	go run ./packaging/modules licences FILE               the licences and notices of all of them, for all systems
//	go run ./packaging/modules sbom PROGRAM VERSION FILE   a software bill of materials (CycloneDX) for a built program
//
// It needs only the go command and the module cache. It fails if a module has no licence that it knows.
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "modules:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var text []byte
	var err error
	switch {
	case len(args) == 2 && args[0] == "licences":
		text, err = licenceTexts()
	case len(args) == 4 && args[0] == "sbom":
		text, err = billOfMaterials(args[1], args[2])
	default:
		err = errors.New("usage: licences FILE, or sbom PROGRAM VERSION FILE")
	}
	if err != nil {
		return err
	}
	return os.WriteFile(args[len(args)-1], text, 0o644) //nolint:gosec // everyone may read what is published
}
