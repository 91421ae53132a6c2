package e2e

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"

	"etrusted-broker/internal/brokertest"
)

// chromiumFlags turn off protections of the browser, so that only the broker stops a page.
var chromiumFlags = []string{
	"--headless=new",
	"--no-sandbox", // it does not work for root, nor in most containers
	"--disable-gpu",
	"--disable-dev-shm-usage",
	"--no-first-run",
	"--no-default-browser-check",
	"--disable-popup-blocking",
	// Chromium asks the user before a page from the internet may reach this machine. Other browsers do not, and users agree.
	"--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets,BlockInsecurePrivateNetworkRequests",
	// No request leaves this machine, neither from the pages nor from Chromium itself.
	"--disable-background-networking",
	"--disable-component-update",
	"--disable-sync",
	"--disable-breakpad",
	"--no-proxy-server",
	"--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1, EXCLUDE 0.0.0.0, EXCLUDE *::ffff:7f00:1*",
}

// chromium returns the path of a Chromium that runs, or "".
var chromium = sync.OnceValue(func() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		// On systems with snaps, the package of that name may contain only a hint.
		if path, err := exec.LookPath(name); err == nil && exec.Command(path, "--version").Run() == nil {
			return path
		}
	}
	return ""
})

// needChromium skips the test if there is no Chromium, or fails it if E2E_BROWSER=required.
func needChromium(t *testing.T) {
	t.Helper()
	if chromium() == "" {
		skip(t, "E2E_BROWSER", "NO CHROMIUM IN PATH: protection against web pages is NOT TESTED with a real browser")
	}
}

// dbusErrors are the lines that Chromium prints in every container.
var dbusErrors = regexp.MustCompile("dbus")

// chromiumCommand returns a Chromium with its own profile. It can run until ctx is done.
func chromiumCommand(ctx context.Context, t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	profile := t.TempDir()
	cmd := exec.CommandContext(ctx, chromium(), slices.Concat([]string{"--user-data-dir=" + profile}, chromiumFlags, arguments)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + profile}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to kill all of its processes at once
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = brokertest.Timeout // in case one of them has left the group
	return cmd
}
