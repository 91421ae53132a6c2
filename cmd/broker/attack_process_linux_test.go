package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// TestProcessHidesSecrets: another process of the same user cannot read the broker's environment, and the broker can still
// read what its metrics need.
func TestProcessHidesSecrets(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"same user", "another user"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.Command(buildBroker(t))
			var user *syscall.SysProcAttr
			if name == "another user" {
				if os.Getuid() != 0 {
					t.Skip("only root can start a process as another user")
				}
				user = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			command.SysProcAttr = user
			command.Dir = "/" // every user may enter it
			command.Env = brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ACCESS_KEY="+canaryKey)
			p := startCommand(t, command)
			p.WaitReady()

			if user != nil || os.Getuid() != 0 { // root can read it
				reader := exec.Command("cat", fmt.Sprintf("/proc/%d/environ", command.Process.Pid))
				reader.SysProcAttr = user
				reader.Dir = "/"
				if output, err := reader.CombinedOutput(); err == nil || !strings.Contains(string(output), "Permission denied") {
					t.Errorf("reading its environment: got %q, %v, want permission denied", output, err)
				}
			}

			metrics := brokertest.Get(t, p.Admin+"/metrics").Body
			for metric, value := range map[string]string{
				"process_open_fds": "[1-9]", "process_max_fds": "[1-9]", "process_resident_memory_bytes": "[1-9]",
				"process_cpu_seconds_total": "[0-9]", // it may have used less than is counted
			} {
				if !regexp.MustCompile(`(?m)^` + metric + " " + value).MatchString(metrics) {
					t.Errorf("missing metric: %s", metric)
				}
			}
			// It still has the key and the credentials, which it removed from its environment.
			if got := getWithKey(t, p.URL+"/channels", canaryKey); got.Status != http.StatusOK {
				t.Errorf("got %d %s, want 200", got.Status, got.Body)
			}
		})
	}
}
