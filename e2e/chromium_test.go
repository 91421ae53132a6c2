package e2e

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// chromiumFlags have the broker, and not the browser, be what stops a page.
var chromiumFlags = []string{
	"--headless=new",
	"--no-sandbox", // which does not work for root, nor in most containers
	"--disable-gpu",
	"--disable-dev-shm-usage",
	"--no-first-run",
	"--no-default-browser-check",
	"--disable-popup-blocking",
	// Chromium asks the user before a page of the Internet may reach this machine. Other browsers do not, and users say yes.
	"--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets,BlockInsecurePrivateNetworkRequests",
	// Nothing beyond this machine is asked for, by the test's pages or by Chromium itself.
	"--disable-background-networking",
	"--disable-component-update",
	"--disable-sync",
	"--disable-breakpad",
	"--no-proxy-server",
	"--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1, EXCLUDE 0.0.0.0, EXCLUDE *::ffff:7f00:1*",
}

// chromium is the path of one that runs, empty if there is none.
var chromium = sync.OnceValue(func() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		// Where there are snaps, a package of that name may install no more than a hint.
		if path, err := exec.LookPath(name); err == nil && exec.Command(path, "--version").Run() == nil {
			return path
		}
	}
	return ""
})

// needChromium skips the test where there is none, so that it can be run with Go alone; but a run that is about browsers
// must not pass without one.
func needChromium(t *testing.T) {
	t.Helper()
	const missing = "NO CHROMIUM IN PATH: that web pages are kept out is NOT TESTED with a real browser"
	switch {
	case chromium() != "":
	case os.Getenv("E2E_BROWSER") == "required":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// startChromium runs Chromium, with a profile of its own, until it exits, end is called or the test ends. What it wrote
// is whole only then.
func startChromium(t *testing.T, arguments ...string) (output *syncBuffer, exited <-chan struct{}, end func()) {
	t.Helper()
	profile := t.TempDir()
	command := exec.Command(chromium(), append(append([]string{"--user-data-dir=" + profile}, chromiumFlags...), arguments...)...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + profile}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its many processes end together
	command.WaitDelay = patience                              // should one of them have left the group
	output = &syncBuffer{}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		// The pipe to output is held by all of its processes: after this none of them writes to the profile any more.
		_ = command.Wait()
		close(done)
	}()
	end = func() {
		select {
		case <-done: // the process id may be another's by now
		default:
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
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

// withoutDBus leaves out what Chromium says in every container.
func withoutDBus(text string) string {
	var rest strings.Builder
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "dbus") {
			rest.WriteString(line)
		}
	}
	return rest.String()
}
