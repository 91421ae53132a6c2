package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// program is the package of the broker's main function.
const program = "etrusted-broker/cmd/broker"

// stdlib stands for Go's standard library, which is linked too. The name is that of the vulnerability database.
const stdlib = "stdlib"

// platforms are the systems and architectures of a release. Modules differ between systems, and may differ between architectures.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}

// module is a module of which a package is linked into the broker.
type module struct {
	path, version string
	files         []string // its licences and notices, sorted
	root          string   // the directory of the module
}

// linked returns the modules that are linked into the broker on one of the platforms, without the broker's own, sorted by path.
func linked(platforms []string) ([]module, error) {
	all := map[string]module{}
	for _, platform := range platforms {
		if err := addLinked(all, platform); err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b module) int { return cmp.Compare(a.path, b.path) }), nil
}

func addLinked(all map[string]module, platform string) error {
	goos, goarch, _ := strings.Cut(platform, "/")
	output, err := goCommand([]string{"GOOS=" + goos, "GOARCH=" + goarch, "CGO_ENABLED=0"}, "list", "-deps", "-json=Dir,Module", program)
	if err != nil {
		return err
	}
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p struct {
			Dir    string
			Module *struct {
				Path, Version, Dir string
				Main               bool
				Replace            *struct{}
			}
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if p.Module == nil || p.Module.Main {
			continue // of the standard library, or the broker's own
		}
		if p.Module.Replace != nil {
			return fmt.Errorf("%s is replaced: its licence is not that of the replacement", p.Module.Path)
		}
		m, ok := all[p.Module.Path]
		if !ok {
			m = module{path: p.Module.Path, version: p.Module.Version, root: p.Module.Dir}
		}
		if m.files, err = addLicenceFiles(m.files, p.Dir, m.root); err != nil {
			return err
		}
		all[m.path] = m
	}
	goroot, err := goCommand(nil, "env", "GOROOT", "GOVERSION")
	if err != nil {
		return err
	}
	root, version, _ := strings.Cut(strings.TrimSpace(string(goroot)), "\n")
	m := module{path: stdlib, version: strings.TrimPrefix(version, "go"), root: root}
	m.files, err = addLicenceFiles(nil, root, root)
	all[stdlib] = m
	return err
}

// goCommand runs the go command with some variables, and returns its output.
func goCommand(environ []string, args ...string) ([]byte, error) {
	command := exec.Command("go", args...) //nolint:gosec // all arguments are constants
	command.Env = append(os.Environ(), environ...)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	return output, nil
}

// addLicenceFiles adds the licences and notices of a package: those in its directory and above, up to the root of its module. A
// part of a module may have another licence than the rest.
func addLicenceFiles(files []string, dir, root string) ([]string, error) {
	for ; ; dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if path := filepath.Join(dir, entry.Name()); !entry.IsDir() && isLicenceFile(entry.Name()) && !slices.Contains(files, path) {
				files = append(files, path)
			}
		}
		if dir == root || len(dir) < len(root) {
			slices.Sort(files)
			return files, nil
		}
	}
}

// isLicenceFile reports whether a file contains a licence, a notice or a grant of patents, by its name.
func isLicenceFile(name string) bool {
	stem, extension, _ := strings.Cut(strings.ToUpper(name), ".")
	stem, _, _ = strings.Cut(stem, "-") // LICENSE-MIT
	return slices.Contains([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS"}, stem) &&
		slices.Contains([]string{"", "TXT", "MD"}, extension)
}
