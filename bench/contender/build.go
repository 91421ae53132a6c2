package contender

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// buildTime is how long a build may take: Caddy and Skipper, from nothing on two cores, some minutes each,
// and more where something else is busy too.
const buildTime = 30 * time.Minute

// goBuild builds a program stripped and without the paths of this machine. settings are for its environment.
func goBuild(ctx context.Context, folder, output, pkg string, settings []string, flags ...string) error {
	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", output}, flags...)
	command := exec.CommandContext(ctx, "go", append(args, pkg)...)
	command.Dir = folder
	command.Env = append(append(os.Environ(), "GOWORK=off"), settings...)
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, lastLines(said))
	}
	return nil
}

// static has a program built as the broker's releases are.
var static = []string{"CGO_ENABLED=0"}

// fromModule builds a program of somebody else's at a fixed version, once: it is kept in the cache. A module is made around
// it rather than `go install` used, which asks the module proxy for the list of all versions, and not every proxy has it.
func fromModule(ctx context.Context, w Workshop, module, version, pkg string) (string, error) {
	folder := filepath.Join(w.Cache, filepath.Base(pkg)+"@"+version)
	program := filepath.Join(folder, filepath.Base(pkg))
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	mod := fmt.Sprintf("module build\n\ngo 1.26.0\n\nrequire %s %s\n", module, version)
	if err := os.WriteFile(filepath.Join(folder, "go.mod"), []byte(mod), 0o644); err != nil {
		return "", err
	}
	// Renamed when it is whole: a build that was broken off must not be taken for one.
	if err := goBuild(ctx, folder, program+".new", pkg, nil, "-mod=mod"); err != nil {
		return "", err
	}
	return program, os.Rename(program+".new", program)
}

// ask runs a program to its end, for its version, and returns the first line that it says.
func ask(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(path), strings.Join(args, " "), err, lastLines(said))
	}
	line, _, _ := bytes.Cut(said, []byte("\n"))
	return strings.TrimSpace(string(line)), nil
}

// lastLines is what of a long output tells why it ended.
func lastLines(said []byte) string {
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
