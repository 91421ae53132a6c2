package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// TestUnderWine runs the tests of directory windows, with the program for Windows.
func TestUnderWine(t *testing.T) {
	t.Parallel()
	w := newWine(t)
	dir := t.TempDir()
	broker, tests := filepath.Join(dir, "etrusted-broker.exe"), filepath.Join(dir, "windows.test.exe")
	buildForWindows(t, "..", "build", "-buildvcs=false", "-o", broker, "./cmd/broker")
	buildForWindows(t, ".", "test", "-c", "-o", tests, "./windows")
	output := w.run(tests, broker)
	t.Log(output)
	if !strings.Contains(output, "--- PASS: TestServiceServesAndDrains") {
		t.Error("got no test of the service, want one")
	}
}

func buildForWindows(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// wine runs programs for Windows in a Windows of their own.
type wine struct {
	t   *testing.T
	env []string
}

// newWine skips the test without Wine, or fails it if E2E_WINE=required.
func newWine(t *testing.T) *wine {
	t.Helper()
	if _, err := exec.LookPath("wine"); err != nil {
		skip(t, "E2E_WINE", "NO wine IN PATH: the program for Windows is NOT TESTED")
	}
	prefix := filepath.Join(t.TempDir(), "prefix")
	w := &wine{t, []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "WINEPREFIX=" + prefix, "WINEDEBUG=-all",
		"WINEDLLOVERRIDES=mscoree,mshtml=", // asks for no download of .NET or a browser
	}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), brokertest.Timeout) // that of the test has ended
		defer cancel()
		for _, option := range []string{"-k", "-w"} { // until it has ended, it writes to the prefix
			cmd := exec.CommandContext(ctx, "wineserver", option)
			cmd.Env = w.env
			_ = cmd.Run()
		}
	})
	if output, err := w.command("wineboot", "--init").CombinedOutput(); err != nil {
		t.Fatalf("wineboot: %v\n%s", err, output)
	}
	w.addRandomLibrary(filepath.Join(prefix, "drive_c", "windows", "system32"))
	return w
}

// addRandomLibrary adds bcryptprimitives.dll, without which no Go program starts and which Wine has only since version 9. The linker
// makes one that refers to the function of another library.
func (w *wine) addRandomLibrary(system32 string) {
	w.t.Helper()
	library := filepath.Join(system32, "bcryptprimitives.dll")
	if _, err := os.Stat(library); err == nil {
		return
	}
	exports := tempFile(w.t, "LIBRARY bcryptprimitives.dll\nEXPORTS\n  ProcessPrng = advapi32.SystemFunction036\n")
	definition := exports + ".def"
	if err := os.Rename(exports, definition); err != nil {
		w.t.Fatal(err)
	}
	if output, err := w.command("ld", "-m", "i386pep", "-shared", "-e", "0", "-o", library, definition).CombinedOutput(); err != nil {
		skip(w.t, "E2E_WINE", "WINE IS OLDER THAN 9, AND ld CANNOT LINK FOR WINDOWS: the program for Windows is NOT TESTED: "+string(output))
	}
}

func (w *wine) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), name, args...)
	cmd.Env = w.env
	cmd.WaitDelay = brokertest.Timeout
	return cmd
}

// run runs tests of a program for Windows, and returns their output. Script gives them a terminal, without which they would have no
// console, and nothing could be interrupted.
func (w *wine) run(tests, program string) string {
	w.t.Helper()
	log := filepath.Join(w.t.TempDir(), "log")
	cmd := w.command("script", "--quiet", "--return", "--command", "wine '"+tests+"' -test.v >'"+log+"' 2>&1", "/dev/null")
	cmd.Env = append(cmd.Env, "E2E_SERVICE=required", "BROKER_BINARY=Z:"+program)
	output, err := cmd.CombinedOutput()
	text, readErr := os.ReadFile(log)
	if err != nil || readErr != nil {
		w.t.Fatalf("%v, %v: %s\n%s", err, readErr, output, text)
	}
	return string(text)
}
