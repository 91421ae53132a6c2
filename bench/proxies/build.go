package proxies

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

// buildTimeout limits one build. On two cores Caddy and Skipper take some minutes each without a build cache, and longer on
// a busy machine.
const buildTimeout = 30 * time.Minute

// goBuild builds a stripped program without local paths in it. settings are additional environment variables.
func goBuild(ctx context.Context, dir, executable, pkg string, settings []string, flags ...string) error {
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", executable}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOWORK=off"), settings...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, lastLines(output))
	}
	return nil
}

// staticBuild are the settings with which the broker's releases are built.
var staticBuild = []string{"CGO_ENABLED=0"}

// buildModule builds a third-party program at a fixed version, unless it is in the cache. It creates a module that requires
// the program instead of using `go install`, which asks the module proxy for the list of all versions: not every module proxy
// has one.
func buildModule(ctx context.Context, dirs Dirs, module, version, pkg string) (string, error) {
	dir := filepath.Join(dirs.Cache, filepath.Base(pkg)+"@"+version)
	program := filepath.Join(dir, filepath.Base(pkg))
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	mod := fmt.Sprintf("module build\n\ngo 1.26.0\n\nrequire %s %s\n", module, version)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o644); err != nil {
		return "", err
	}
	// Renamed only when complete, so that an interrupted build does not leave a broken program in the cache.
	if err := goBuild(ctx, dir, program+".new", pkg, nil, "-mod=mod"); err != nil {
		return "", err
	}
	return program, os.Rename(program+".new", program)
}

// firstLine runs a program and returns the first line of its output.
func firstLine(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(path), strings.Join(args, " "), err, lastLines(output))
	}
	line, _, _ := bytes.Cut(output, []byte("\n"))
	return strings.TrimSpace(string(line)), nil
}

// lastLines returns the last ten lines of an output: they usually contain the reason for a failure.
func lastLines(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
