package main

import (
	"crypto/tls"
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

// withInheritedSockets returns a command that starts the program as systemd does, with open sockets.
func withInheritedSockets(t *testing.T, names string, listeners []net.Listener, environ ...string) *exec.Cmd {
	t.Helper()
	// Only the shell knows its process ID, which exec keeps.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, buildBroker(t))
	cmd.Env = append(environ, "PATH="+os.Getenv("PATH"), "LISTEN_FDNAMES="+names, "LISTEN_FDS="+string(rune('0'+len(listeners))))
	for _, l := range listeners {
		file := socketFile(t, l)
		t.Cleanup(func() { _ = file.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	return cmd
}

func TestServesInheritedSockets(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "broker.sock")
	app, admin := brokertest.Listen(t, "unix", socket), brokertest.Listen(t, "tcp", "127.0.0.1:0")
	// The broker could not listen on these addresses. The sockets replace them.
	p := startCommand(t, withInheritedSockets(t, "admin:etrusted-broker.socket", []net.Listener{admin, app},
		brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "BROKER_LISTEN=unix:///nowhere/at/all", "BROKER_ADMIN_LISTEN=127.0.0.1:1")...))
	brokertest.Eventually(t, "the broker is ready", func() bool {
		return brokertest.Get(t, "http://"+admin.Addr().String()+"/readyz").Status == http.StatusOK
	})
	if got := getOverSocket(socket, "http://localhost/channels"); got.Status != http.StatusOK {
		t.Errorf("got status %d, %v, want 200", got.Status, got.Err)
	}
	p.signal(os.Interrupt)
	if code := p.Wait(); code != exitOK {
		t.Errorf("got exit code %d, want %d:\n%s", code, exitOK, p.Logs)
	}
	if _, err := os.Lstat(socket); err != nil {
		t.Errorf("systemd's socket: got %v, want it to stay", err)
	}
}

// A socket unit may open one socket for each of IPv4 and IPv6, for the app and for interception.
func TestServesSeveralInheritedSockets(t *testing.T) {
	t.Parallel()
	var listeners []net.Listener
	for range 5 {
		listeners = append(listeners, brokertest.Listen(t, "tcp", "127.0.0.1:0"))
	}
	api := strings.Replace(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "127.0.0.1", "localhost", 1)
	startCommand(t, withInheritedSockets(t, "app:intercept:app:intercept:admin", listeners, brokertest.Environ(api, "BROKER_INTERCEPT_CA_DIR="+t.TempDir())...))
	brokertest.Eventually(t, "the broker is ready", func() bool {
		return brokertest.Get(t, "http://"+listeners[4].Addr().String()+"/readyz").Status == http.StatusOK
	})
	for _, app := range []net.Listener{listeners[0], listeners[2]} {
		if got := brokertest.Get(t, "http://"+app.Addr().String()+"/channels"); got.Status != http.StatusOK {
			t.Errorf("%s: got status %d, %v, want 200", app.Addr(), got.Status, got.Err)
		}
	}
	for _, intercept := range []net.Listener{listeners[1], listeners[3]} {
		conn, err := tls.Dial("tcp", intercept.Addr().String(), &tls.Config{ServerName: "localhost", InsecureSkipVerify: true})
		if err != nil {
			t.Errorf("%s: got %v, want a TLS connection", intercept.Addr(), err)
			continue
		}
		_ = conn.Close()
	}
}

// nonListener passes a file that is not a listening socket.
type nonListener struct {
	net.Listener
	file *os.File
}

func (l nonListener) File() (*os.File, error) { return l.file, nil }

// socketFile returns a file for the socket of a listener or a connection.
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
		t.Skip("systemd exists on Linux only")
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
		{"interception without a CA", []net.Listener{brokertest.Listen(t, "tcp", "127.0.0.1:0")}, "intercept", "LISTEN_FDS: a socket with FileDescriptorName=intercept needs BROKER_INTERCEPT_CA_DIR"},
		{"two for the admin", []net.Listener{brokertest.Listen(t, "tcp", "127.0.0.1:0"), brokertest.Listen(t, "tcp", "127.0.0.1:0")}, "admin:admin", "LISTEN_FDS: more than one socket for the admin listener"},
		{"file", []net.Listener{nonListener{file: file}}, "x", `LISTEN_FDS: the socket \"x\" is not a listening stream socket: in the .socket unit, use only ListenStream=`},
		{"datagram", []net.Listener{nonListener{file: socketFile(t, udp)}}, "x", `LISTEN_FDS: the socket \"x\" is not a listening stream socket`},
		{"connection", []net.Listener{brokertest.Listen(t, "tcp", "127.0.0.1:0"), nonListener{file: socketFile(t, conn)}}, "x:admin", `LISTEN_FDS: the socket \"admin\" is not a listening stream socket`},
		{"fewer than announced", []net.Listener{brokertest.Listen(t, "tcp", "127.0.0.1:0")}, "x", `LISTEN_FDS: the socket \"LISTEN_FD_4\" is not a listening stream socket`},
		{"sequential packets", []net.Listener{brokertest.Listen(t, "unixpacket", filepath.Join(t.TempDir(), "s"))}, "x", `LISTEN_FDS: the socket \"x\" is not a listening stream socket`},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := withInheritedSockets(t, test.names, test.listeners, brokertest.EnvironWithoutServers()...)
			if test.name == "fewer than announced" {
				cmd.Env = append(cmd.Env, "LISTEN_FDS=9")
			}
			output, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != exitUsageOrConfig || !strings.Contains(string(output), test.says) {
				t.Errorf("got exit code %d, want %d and %q: %s", code, exitUsageOrConfig, test.says, output)
			}
		})
	}
}
