package e2e

import (
	"os"
	"os/exec"
	"strings"
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
	const missing = "NO CHROMIUM IN PATH: protection against web pages is NOT TESTED with a real browser"
	switch {
	case chromium() != "":
	case os.Getenv("E2E_BROWSER") == "required":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// startChromium runs Chromium with its own profile until it exits, end is called or the test ends. Its output is complete
// after that.
func startChromium(t *testing.T, arguments ...string) (output *brokertest.LogBuffer, exited <-chan struct{}, end func()) {
	t.Helper()
	profile := t.TempDir()
	cmd := exec.Command(chromium(), append(append([]string{"--user-data-dir=" + profile}, chromiumFlags...), arguments...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + profile}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to kill all of its processes at once
	cmd.WaitDelay = waitTimeout                           // in case one of them has left the group
	output = &brokertest.LogBuffer{}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		// All of its processes hold the output pipe. So after this none of them writes to the profile.
		_ = cmd.Wait()
		close(done)
	}()
	end = func() {
		select {
		case <-done: // the process ID may have been reused
		default:
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
	}
	t.Cleanup(func() {
		end()
		if t.Failed() {
			t.Logf("Chromium wrote:\n%s", withoutDBus(output.String()))
		}
	})
	return output, done, end
}

// withoutDBus removes the D-Bus errors that Chromium prints in every container.
func withoutDBus(text string) string {
	var rest strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "dbus") {
			rest.WriteString(line)
		}
	}
	return rest.String()
}
