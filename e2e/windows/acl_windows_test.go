package windows

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Everyone can read the file, until the command of the warning has run.
func TestCheckWarnsOfReadableSecretFiles(t *testing.T) {
	s := newSettings(t, startFake(t))
	writeFile(t, s.clientSecret, clientSecret)
	if !onWine { // where everyone can, as the file's mode on Linux says
		command(t, "icacls", s.clientSecret, "/grant", "*S-1-1-0:R")
	}
	output := mustRun(t, environment(), "check", "-env-file", s.file)
	_, rest, found := strings.Cut(output, "! "+s.clientSecret+" is readable for others on this machine, ")
	_, repair, _ := strings.Cut(rest, ": run ")
	repair, _, _ = strings.Cut(repair, "\n")
	repair = strings.TrimSpace(repair)
	if !found || !strings.HasPrefix(repair, `icacls "`+s.clientSecret+`" /inheritance:r /grant:r `) || !strings.Contains(repair, `/remove:g "*S-1-1-0"`) {
		t.Fatalf("got %q, want a warning with a command that keeps everyone out:\n%s", repair, output)
	}
	if onWine {
		return // its icacls does nothing
	}
	cmd := exec.Command(os.Getenv("ComSpec"))
	cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: `cmd /d /c "` + repair + `"`}
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", repair, err, output)
	}
	if output := mustRun(t, environment(), "check", "-env-file", s.file); strings.Contains(output, s.clientSecret+" is readable for others") {
		t.Errorf("after %s: got\n%s\nwant no warning", repair, output)
	}
}
