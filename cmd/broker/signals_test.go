package main

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// Operators send SIGHUP to have files read again, and systemd counts an end by it as a clean one.
func TestSIGHUPInterruptsNoRequest(t *testing.T) {
	t.Parallel()
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))))
	for range 3 {
		p.signal(syscall.SIGHUP)
		if got := brokertest.Get(t, p.URL+"/channels"); got.Status != http.StatusOK {
			t.Fatalf("got status %d, %v, want 200:\n%s", got.Status, got.Err, p.Logs)
		}
	}
	p.signal(syscall.SIGTERM)
	if code := p.Wait(); code != exitOK {
		t.Errorf("got exit code %d, want %d", code, exitOK)
	}
}

// Without SIGHUP, the broker would find these changes within seven seconds: nothing watches the directory that the link leads to.
func TestSIGHUPReadsFilesAtOnce(t *testing.T) {
	t.Parallel()
	target, link := filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "key")
	write := func(key string) {
		brokertest.ReplaceFile(t, target, []byte(key))
		settled := time.Now().Add(-time.Hour)
		if err := os.Chtimes(target, settled, settled); err != nil {
			t.Fatal(err)
		}
	}
	write("the-first-access-key")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ACCESS_KEY_FILE="+link))
	for _, key := range []string{"the-second-access-key", "the-third-access-key", "the-fourth-access-key", "the-fifth-access-key"} {
		write(key)
		p.signal(syscall.SIGHUP)
		changed := time.Now()
		brokertest.Eventually(t, "the new access key", func() bool {
			request, err := http.NewRequest(http.MethodGet, p.URL+"/channels", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+key)
			return brokertest.Do(request, nil).Status == http.StatusOK
		})
		if after := time.Since(changed); after > 3*time.Second {
			t.Errorf("%s: got it in use after %v, want it at once", key, after)
		}
	}
}

// The demo belongs to a terminal, and ends with it.
func TestSIGHUPEndsTheDemo(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(buildBroker(t), "demo")
	cmd.Env = []string{"BROKER_LISTEN=127.0.0.1:0", "BROKER_ADMIN_LISTEN=127.0.0.1:0"}
	p := startCommand(t, cmd)
	p.signal(syscall.SIGHUP)
	if code := p.Wait(); code != exitOK {
		t.Errorf("got exit code %d, want %d:\n%s", code, exitOK, p.Logs)
	}
}

// A log reader that ends must not take the broker with it.
func TestSurvivesTheEndOfItsLogReader(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(buildBroker(t))
	cmd.Env = brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_ACCESS_LOG=true")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	var logs brokertest.LogBuffer
	url := ""
	for lines := bufio.NewReader(stderr); url == ""; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%v: %s", err, logs.String())
		}
		_, _ = logs.Write([]byte(line))
		if app, _, ok := logs.URLs(); ok {
			url = app
		}
	}
	_ = stderr.Close()
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	brokertest.Eventually(t, "a request succeeds", func() bool { return brokertest.Get(t, url+"/channels").Status == http.StatusOK })
	for range 5 { // each writes a line
		if got := brokertest.Get(t, url+"/channels"); got.Status != http.StatusOK {
			t.Errorf("got status %d, %v, want 200", got.Status, got.Err)
		}
	}
}

// A .env file with the line ends of Windows.
func TestCarriageReturnsEndNoValue(t *testing.T) {
	t.Parallel()
	environ := brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=127.0.0.1")
	for i := range environ {
		environ[i] += "\r"
	}
	p := startProcess(t, environ)
	brokertest.Eventually(t, "a response of the API", func() bool { return brokertest.Get(t, p.URL+"/channels").Status == http.StatusOK })
	if strings.Contains(p.Logs.String(), `\r`) {
		t.Errorf("got a carriage return in the log:\n%s", p.Logs)
	}
}
