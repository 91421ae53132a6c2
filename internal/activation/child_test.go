//go:build linux

package activation_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"etrusted-broker/internal/activation"
)

const childMode = "ACTIVATION_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childMode) != "" {
		os.Exit(beTheBroker())
	}
	os.Exit(m.Run())
}

// beTheBroker serves one request on what it was given. The answer names it, and what a child would inherit of it.
func beTheBroker() int {
	alreadyLeaked := map[int]bool{} // by who runs the tests
	for fd := 5; fd < 100; fd++ {
		alreadyLeaked[fd] = inherited(fd)
	}
	// systemd sets it between fork and exec, as nobody can who starts a process in Go.
	environ := append(os.Environ(), "LISTEN_PID="+strconv.Itoa(os.Getpid()))
	listeners, err := activation.Listeners(environ, os.Getpid())
	if err != nil || len(listeners) != 2 {
		fmt.Fprintln(os.Stderr, listeners, err)
		return 1
	}
	done := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, listeners[1].Name, " ", r.URL.Path)
		for fd := 3; fd < 100; fd++ {
			if inherited(fd) && !alreadyLeaked[fd] {
				_, _ = fmt.Fprint(w, " and leaks ", fd)
			}
		}
		close(done)
	})}
	go func() { _ = server.Serve(listeners[1]) }()
	select {
	case <-done:
		_ = server.Shutdown(context.Background())
		return 0
	case <-time.After(10 * time.Second):
		return 1
	}
}

func TestServesRequestsOverWhatItWasGiven(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=admin:app")
	cmd.Stderr = os.Stderr
	app := listenTCP(t)
	for _, l := range []interface{ File() (*os.File, error) }{listenUnix(t, "unix"), app} {
		file, err := l.File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	// The connection is taken by the kernel, before the child has come to life: the point of it all.
	res, err := client.Get("http://" + app.Addr().String() + "/channels")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || string(body) != "app /channels" {
		t.Errorf("%q, %v", body, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
