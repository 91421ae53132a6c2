package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// getOverSocket makes a GET over a Unix socket.
func getOverSocket(path, url string) brokertest.Response {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return brokertest.Response{Err: err}
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return brokertest.Response{Err: err}
	}
	_ = response.Body.Close()
	return brokertest.Response{Status: response.StatusCode}
}

func TestServesOnUnixSocket(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("sockets have no mode there")
	}
	path := filepath.Join(t.TempDir(), "broker.sock")
	environ := brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_LISTEN=unix://"+path)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false) // as one leaves it that is killed
	_ = stale.Close()

	b := startBroker(t, nil, environ)
	if got := b.Logs.Lines("listening")[0]["app"]; got != "unix://"+path {
		t.Errorf("listening at %v", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	b.WaitReady()
	for url, want := range map[string]int{"http://localhost/channels": 200, "http://evil.example/channels": 421} {
		if got := getOverSocket(path, url); got.Status != want {
			t.Errorf("%s: %d %v, want %d", url, got.Status, got.Err, want)
		}
	}

	var stderr brokertest.LogBuffer
	code := run(t.Context(), nil, environ, io.Discard, &stderr)
	if code != exitFailure || !strings.Contains(stderr.String(), "BROKER_LISTEN unix://"+path+" is in use by another program") {
		t.Errorf("a second broker: exit code %d, %s", code, &stderr)
	}
	if got := getOverSocket(path, "http://localhost/channels"); got.Status != http.StatusOK {
		t.Errorf("after a second one: %d %v", got.Status, got.Err)
	}
	if code := b.Stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// TestWarnsOfUnsafeListeners holds that a listener beyond this machine is refused, or told of, as it deserves.
func TestWarnsOfUnsafeListeners(t *testing.T) {
	t.Parallel()
	const unsafe, clear = "BROKER_UNSAFE_LISTEN is set: whoever reaches the app's listener can use the credentials",
		"the access key crosses the network in clear: set BROKER_TLS_CERT_FILE and BROKER_TLS_KEY_FILE"
	for _, test := range []struct {
		name     string
		environ  []string
		warnings []string
		metric   string
	}{
		{"here", []string{"BROKER_UNSAFE_LISTEN=true"}, nil, "0"},
		{"unsafe", []string{"BROKER_LISTEN=0.0.0.0:0", "BROKER_UNSAFE_LISTEN=true"}, []string{unsafe}, "1"},
		{"unsafe, IPv6", []string{"BROKER_LISTEN=[::]:0", "BROKER_UNSAFE_LISTEN=true"}, []string{unsafe}, "1"},
		{"key", []string{"BROKER_LISTEN=:0", "BROKER_ACCESS_KEY=0123456789abcdef"}, []string{clear}, "0"},
		{"key, and unsafe", []string{"BROKER_LISTEN=:0", "BROKER_ACCESS_KEY=0123456789abcdef", "BROKER_UNSAFE_LISTEN=true"}, []string{clear}, "0"},
		{"short key", []string{"BROKER_ACCESS_KEY=0123456789abcde"}, []string{"the access key is short, and could be found by trying: make one with 'openssl rand -hex 32'"}, "0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, nil, brokertest.EnvironWithoutServers(test.environ...))
			var warnings []string
			for _, message := range []string{unsafe, clear, "the access key is short, and could be found by trying: make one with 'openssl rand -hex 32'"} {
				for range b.Logs.Lines(message) {
					warnings = append(warnings, message)
				}
			}
			if strings.Join(warnings, "\n") != strings.Join(test.warnings, "\n") {
				t.Errorf("warned of %q, want %q", warnings, test.warnings)
			}
			if got := brokertest.Get(t, b.Admin+"/metrics"); !strings.Contains(got.Body, "\netrusted_broker_unsafe_listen "+test.metric+"\n") {
				t.Errorf("unsafe_listen is not %s", test.metric)
			}
		})
	}
}

// withInheritedSockets returns a command that starts the program as systemd does, with open sockets.
func withInheritedSockets(t *testing.T, names string, listeners []net.Listener, environ ...string) *exec.Cmd {
	t.Helper()
	// The process ID is known only once the shell runs, and exec keeps it.
	command := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, buildBroker(t))
	command.Env = append(environ, "PATH="+os.Getenv("PATH"), "LISTEN_FDNAMES="+names, "LISTEN_FDS="+string(rune('0'+len(listeners))))
	for _, l := range listeners {
		file := socketFile(t, l)
		t.Cleanup(func() { _ = file.Close() })
		command.ExtraFiles = append(command.ExtraFiles, file)
	}
	return command
}

func TestServesInheritedSockets(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "broker.sock")
	app, admin := brokertest.Listen(t, "unix", socket), brokertest.Listen(t, "tcp", "127.0.0.1:0")
	// These addresses cannot be listened on: the sockets take their place.
	c := startCommand(t, withInheritedSockets(t, "admin:etrusted-broker.socket", []net.Listener{admin, app},
		brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_LISTEN=unix:///nowhere/at/all", "BROKER_ADMIN_LISTEN=127.0.0.1:1")...))
	brokertest.Eventually(t, "it is ready", func() bool {
		return brokertest.Get(t, "http://"+admin.Addr().String()+"/readyz").Status == http.StatusOK
	})
	if got := getOverSocket(socket, "http://localhost/channels"); got.Status != http.StatusOK {
		t.Errorf("%d %v", got.Status, got.Err)
	}
	c.signal(os.Interrupt)
	if code := c.wait(); code != exitOK {
		t.Errorf("exit code %d\n%s", code, c.logs)
	}
	if _, err := os.Lstat(socket); err != nil {
		t.Errorf("systemd's socket is gone: %v", err)
	}
}

// nonListener is a descriptor that is passed although it is not a listener.
type nonListener struct {
	net.Listener
	file *os.File
}

func (u nonListener) File() (*os.File, error) { return u.file, nil }

func socketFile(t *testing.T, conn any) *os.File {
	t.Helper()
	file, err := conn.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRefusesUnusableSockets(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("sockets are passed on Linux only")
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	conn, err := net.Dial("tcp", brokertest.Listen(t, "tcp", "127.0.0.1:0").Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, test := range []struct {
		name      string
		listeners []net.Listener
		names     string
		says      string
	}{
		{"beyond this machine", []net.Listener{brokertest.Listen(t, "tcp", "0.0.0.0:0")}, "x", "BROKER_LISTEN: would let other machines use the credentials"},
		{"two for the app", []net.Listener{brokertest.Listen(t, "tcp", "127.0.0.1:0"), brokertest.Listen(t, "tcp", "127.0.0.1:0")}, "x:y", "LISTEN_FDS: more than one socket for the app"},
		{"two without names", []net.Listener{brokertest.Listen(t, "tcp", "127.0.0.1:0"), brokertest.Listen(t, "tcp", "127.0.0.1:0")}, "", "LISTEN_FDS: more than one socket for the app"},
		{"two for the admin", []net.Listener{brokertest.Listen(t, "tcp", "127.0.0.1:0"), brokertest.Listen(t, "tcp", "127.0.0.1:0")}, "admin:admin", "LISTEN_FDS: more than one socket for the app, or for the admin listener"},
		{"file", []net.Listener{nonListener{file: file}}, "x", `LISTEN_FDS: the socket \"x\" is not a listening stream socket: in the .socket unit, use only ListenStream=`},
		{"datagram", []net.Listener{nonListener{file: socketFile(t, udp)}}, "x", `LISTEN_FDS: the socket \"x\" is not a listening stream socket`},
		{"connection", []net.Listener{brokertest.Listen(t, "tcp", "127.0.0.1:0"), nonListener{file: socketFile(t, conn)}}, "x:admin", `LISTEN_FDS: the socket \"admin\" is not a listening stream socket`},
		{"fewer than announced", []net.Listener{brokertest.Listen(t, "tcp", "127.0.0.1:0")}, "x", `LISTEN_FDS: the socket \"LISTEN_FD_4\" is not a listening stream socket`},
		{"sequential packets", []net.Listener{brokertest.Listen(t, "unixpacket", filepath.Join(t.TempDir(), "s"))}, "x", `LISTEN_FDS: the socket \"x\" is not a listening stream socket`},
	} {
		t.Run(test.name, func(t *testing.T) {
			command := withInheritedSockets(t, test.names, test.listeners, brokertest.EnvironWithoutServers()...)
			if test.name == "fewer than announced" {
				command.Env = append(command.Env, "LISTEN_FDS=9")
			}
			output, _ := command.CombinedOutput()
			if code := command.ProcessState.ExitCode(); code != exitConfig || !strings.Contains(string(output), test.says) {
				t.Errorf("exit code %d, %s", code, output)
			}
		})
	}
}
