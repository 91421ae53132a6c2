package windows

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// command returns the output of a program of Windows.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	output, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, output)
	}
	return string(output)
}

func TestServiceServesAndDrains(t *testing.T) {
	if os.Getenv("E2E_SERVICE") != "required" {
		t.Skip("E2E_SERVICE IS NOT required: the service is NOT TESTED; the test installs it on this machine")
	}
	s := newSettings(t, startFake(t), "BROKER_SHUTDOWN_GRACE=17s")
	writeFile(t, s.clientSecret, clientSecret)
	if !onWine {
		command(t, "icacls", s.dir, "/grant", "*S-1-5-32-545:(OI)(CI)RX") // users, which the virtual account is one of
	}
	url, admin := "http://"+s.listen, "http://"+s.adminListen

	if output, code := run(t, environment(), "service", "start"); code != 1 || !strings.Contains(output, "the service is not installed") {
		t.Fatalf("before the installation: got exit code %d, want 1: %s", code, output)
	}
	mustRun(t, environment(), "service", "install", "-env-file", s.file)
	t.Cleanup(func() { run(t, environment(), "service", "remove") })
	if output, code := run(t, environment(), "service", "install", "-env-file", s.file); code != 1 || !strings.Contains(output, "installed already") {
		t.Errorf("a second installation: got exit code %d, want 1: %s", code, output)
	}
	if output := command(t, "reg", "query", `HKLM\SYSTEM\CurrentControlSet\Services\etrusted-broker`); !strings.Contains(output, `NT SERVICE\etrusted-broker`) ||
		!strings.Contains(output, "service run -env-file") {
		t.Errorf("got\n%s\nwant the virtual account and the file of variables", output)
	}
	if !onWine {
		wantWindowsSettings(t)
	}

	mustRun(t, environment(), "service", "start")
	mustRun(t, environment(), "service", "start") // runs already
	mustRun(t, environment(), "wait", "-env-file", s.file)
	if got := get(url + "/channels"); got.Status != http.StatusOK {
		t.Errorf("got status %d, want 200: %s", got.Status, got.Body)
	}

	finish := upload(t, url)
	stopped := make(chan string, 1)
	go func() {
		output, _ := run(t, environment(), "service", "stop")
		stopped <- output
	}()
	brokertest.Eventually(t, "the broker shuts down", func() bool { return strings.Contains(get(admin+"/readyz").Body, "shutting down") })
	select {
	case output := <-stopped:
		t.Errorf("service stop returned before the request in flight had ended: %s", output)
	case <-time.After(time.Second):
	}
	if got := finish(); got.Status != http.StatusCreated {
		t.Errorf("the upload during the stop: got status %d (%v), want 201", got.Status, got.Err)
	}
	if output := <-stopped; !strings.Contains(output, "done") {
		t.Errorf("service stop: got %s, want done", output)
	}
	if got := get(url + "/channels"); got.Status != 0 {
		t.Errorf("after the stop: got status %d, want no connection", got.Status)
	}
	mustRun(t, environment(), "service", "stop") // has ended already

	content, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.file, string(content)+"BROKER_TOKEN_WAIT=soon\r\n")
	if output, code := run(t, environment(), "service", "start"); code != 1 || !strings.Contains(output, "its events say why") {
		t.Errorf("with an invalid configuration: got exit code %d, want 1 and where to look: %s", code, output)
	}
	if output := command(t, "sc", "query", "etrusted-broker"); !strings.Contains(output, "1066") || !strings.Contains(output, "(0x2)") {
		t.Errorf("got\n%s\nwant that it ended with exit code 2", output)
	}
	if !onWine {
		wantEvents(t)
	}
	mustRun(t, environment(), "service", "remove")
	if output, code := run(t, environment(), "service", "remove"); code != 1 || !strings.Contains(output, "the service is not installed") {
		t.Errorf("a second removal: got exit code %d, want 1: %s", code, output)
	}
}

// wantWindowsSettings fails the test unless Windows has the settings that Wine does not show.
func wantWindowsSettings(t *testing.T) {
	t.Helper()
	if output := command(t, "sc", "qfailure", "etrusted-broker"); !strings.Contains(output, "RESTART") || !strings.Contains(output, "5000") {
		t.Errorf("got\n%s\nwant a restart after 5 s", output)
	}
	if output := command(t, "sc", "qpreshutdown", "etrusted-broker"); !strings.Contains(output, "22000") {
		t.Errorf("got\n%s\nwant 22 s: 17 s for requests in flight, and 5 s", output)
	}
}

// wantEvents fails the test unless the log is in the event log.
func wantEvents(t *testing.T) {
	t.Helper()
	events := command(t, "powershell", "-NoProfile", "-Command", "Get-WinEvent -ProviderName etrusted-broker -MaxEvents 50 | Format-List LevelDisplayName, UserId, Message | Out-String -Width 4000")
	for _, want := range []string{`"msg":"listening"`, `"msg":"all requests have finished"`, "BROKER_TOKEN_WAIT: must be a duration"} {
		if !strings.Contains(events, want) {
			t.Errorf("got no %s in the events, want it:\n%s", want, events)
		}
	}
}
