package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"etrusted-broker/internal/fakeetrusted"
)

// TestProcessHidesSecrets holds that who may look into the process from outside finds no secret in its environment, and that
// the process still sees enough of itself for its metrics.
func TestProcessHidesSecrets(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"as the tests' user", "as nobody"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.Command(binary(t))
			if name == "as nobody" {
				if os.Getuid() != 0 {
					t.Skip("root alone may start a process as another user")
				}
				command = exec.Command(copied(t, binary(t)))
				command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			command.Dir = "/" // which every user may enter
			command.Env = environFor(serveHTTP(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ACCESS_KEY="+attackedKey)
			p := startCommand(t, command)
			eventually(t, "the broker is ready", func() bool { return get(t, p.admin+"/readyz").status == http.StatusOK })

			environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", command.Process.Pid))
			if err != nil && !os.IsPermission(err) {
				t.Fatal(err)
			}
			for _, secret := range []string{fakeetrusted.DefaultClientSecret, attackedKey} {
				if strings.Contains(string(environ), secret) {
					t.Errorf("%q is in the environment: %q", secret, environ)
				}
			}
			if err == nil && !strings.Contains(string(environ), "ETRUSTED_CLIENT_SECRET=x") {
				t.Errorf("that is not its environment: %q", environ)
			}

			metrics := get(t, p.admin+"/metrics").body
			for metric, value := range map[string]string{
				"process_open_fds": "[1-9]", "process_max_fds": "[1-9]", "process_resident_memory_bytes": "[1-9]",
				"process_cpu_seconds_total": "[0-9]", // it may have used less than is counted
			} {
				if !regexp.MustCompile(`(?m)^` + metric + " " + value).MatchString(metrics) {
					t.Errorf("there is no %s", metric)
				}
			}
			// It works all the same, with what it has taken out of its environment.
			if got := showing(t, p.url+"/channels", attackedKey); got.status != http.StatusOK {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
}

// copied is the program where every user may reach it.
func copied(t *testing.T, program string) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "broker-attack-") // t.TempDir is below folders that are their owner's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(folder, "broker")
	if err := os.WriteFile(program, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}
