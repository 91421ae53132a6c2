package main

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/internal/fakeetrusted"
)

// built is the program as it is shipped: what main does with signals and the linker's variables, and what the standard
// library takes from the environment once in a process's life, shows in no other way.
var built struct {
	once         sync.Once
	folder, path string
	err          error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.folder != "" {
		_ = os.RemoveAll(built.folder)
	}
	os.Exit(code)
}

func buildBroker(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the program")
	}
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals to send")
	}
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "broker-test-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.folder, "broker")
		output, err := exec.Command("go", "build", "-buildvcs=false",
			"-ldflags", "-X main.version=1.2.3-test -X main.revision=abcdef", "-o", built.path, ".").CombinedOutput()
		if built.err = err; err != nil {
			built.path = string(output)
		}
	})
	if built.err != nil {
		t.Fatalf("go build: %v\n%s", built.err, built.path)
	}
	return built.path
}

// process is a broker in a process of its own.
type process struct {
	t          *testing.T
	command    *exec.Cmd
	url, admin string
	logs       *brokertest.LogBuffer
	ended      chan struct{}
}

func startProcess(t *testing.T, environ []string) *process {
	t.Helper()
	command := exec.Command(buildBroker(t))
	command.Env = environ
	return startCommand(t, command)
}

// startCommand starts one that runs the broker, and returns when it listens.
func startCommand(t *testing.T, command *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, command: command, logs: &brokertest.LogBuffer{}, ended: make(chan struct{})}
	p.command.Stderr = p.logs
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait() // ProcessState tells
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
	})
	brokertest.Eventually(t, "the broker listens", func() (ok bool) {
		select {
		case <-p.ended:
			t.Fatalf("%v:\n%s", p.command.ProcessState, p.logs)
		default:
		}
		p.url, p.admin, ok = p.logs.URLs()
		return ok
	})
	return p
}

func TestMemoryLimitDecidesConnectionLimit(t *testing.T) {
	t.Parallel()
	b := startProcess(t, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{})), "GOMEMLIMIT=56MiB"))
	if got := b.logs.Lines("listening")[0]["max_connections"]; got != 64.0 {
		t.Errorf("max_connections: got %v, want 64", got)
	}
}

func (p *process) signal(signal os.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns the exit code, or -1 if a signal ended the process.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(brokertest.Timeout):
		p.t.Fatalf("the broker does not end:\n%s", p.logs)
	}
	return p.command.ProcessState.ExitCode()
}

func TestSignalsShutDownGracefully(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p := startProcess(t, brokertest.Environ(brokertest.Serve(t, fakeetrusted.New(fakeetrusted.Options{}))))
			if got := brokertest.Get(t, p.url+"/channels"); got.Status != http.StatusOK {
				t.Errorf("/channels: %d", got.Status)
			}
			p.signal(signal)
			if code := p.wait(); code != exitOK {
				t.Errorf("exit code %d:\n%s", code, p.logs)
			}
			if len(p.logs.Lines("all requests have ended")) != 1 {
				t.Errorf("log:\n%s", p.logs)
			}
		})
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	eTrusted.SetAPIFault(fakeetrusted.Hang())
	p := startProcess(t, brokertest.Environ(brokertest.Serve(t, eTrusted), "BROKER_SHUTDOWN_GRACE=1h"))
	channels := brokertest.GetAsync(p.url + "/channels")
	brokertest.Eventually(t, "the request is upstream", func() bool { return eTrusted.APIRequestCount() == 1 })
	p.signal(syscall.SIGTERM)
	brokertest.Eventually(t, "the first signal has arrived", func() bool {
		return strings.Contains(brokertest.Get(t, p.admin+"/readyz").Body, "shutting down")
	})
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code == exitOK {
		t.Error("exit code 0, though a request was cut off")
	}
	if got := brokertest.Receive(t, "the cut", channels); got.Err == nil {
		t.Errorf("the request was answered with %d", got.Status)
	}
}

func TestPrintsLinkedVersion(t *testing.T) {
	t.Parallel()
	output, err := exec.Command(buildBroker(t), "version").Output()
	if want := "etrusted-broker 1.2.3-test (revision abcdef, " + runtime.Version() + ")\n"; err != nil || string(output) != want {
		t.Errorf("%q, %v, want %q", output, err, want)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for want, args := range map[int][]string{exitOK: {"-h"}, exitFailure: {"health"}, exitConfig: nil} {
		command := exec.Command(buildBroker(t), args...)
		command.Env = []string{"BROKER_ADMIN_LISTEN=127.0.0.1:1"}
		if _ = command.Run(); command.ProcessState.ExitCode() != want {
			t.Errorf("%v: %v, want %d", args, command.ProcessState, want)
		}
	}
}

// connectProxy opens tunnels, all to one address, and keeps where they were asked to lead.
type connectProxy struct {
	upstream     string
	mu     sync.Mutex
	requested []string
}

func (c *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.requested = append(c.requested, r.Method+" "+r.RequestURI)
	c.mu.Unlock()
	upstream, err := net.Dial("tcp", c.upstream)
	if err != nil {
		http.Error(w, "no tunnel", http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = upstream.Close()
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(upstream, buffered)
		_ = upstream.Close()
	}()
	_, _ = io.Copy(client, upstream)
	_ = client.Close()
}

func (c *connectProxy) targets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requested)
}

// TestUsesProxyAndCertificateVariables holds that HTTPS_PROXY and SSL_CERT_FILE work. The names exist for the proxy
// alone, so nothing gets through without it.
func TestUsesProxyAndCertificateVariables(t *testing.T) {
	t.Parallel()
	eTrusted := fakeetrusted.New(fakeetrusted.Options{})
	server := httptest.NewUnstartedServer(eTrusted)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	// The certificate is for example.com and the names below it.
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(bundle, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	through := &connectProxy{upstream: server.Listener.Addr().String()}
	proxyURL := brokertest.Serve(t, through)
	environ := brokertest.Environ("https://api.example.com", "ETRUSTED_TOKEN_URL=https://login.example.com/oauth/token", "HTTPS_PROXY="+proxyURL)

	t.Run("through the proxy", func(t *testing.T) {
		p := startProcess(t, append(environ, "SSL_CERT_FILE="+bundle))
		if got := brokertest.Get(t, p.url+"/channels"); got.Status != http.StatusOK || !strings.Contains(got.Body, "chl-") {
			t.Fatalf("/channels: %d %s\n%s", got.Status, got.Body, p.logs)
		}
		if got, want := through.targets(), []string{"CONNECT login.example.com:443", "CONNECT api.example.com:443"}; !slices.Equal(got, want) {
			t.Errorf("tunnels %q, want %q", got, want)
		}
		if requests := eTrusted.APIRequests(); len(requests) != 1 || requests[0].Proto != "HTTP/2.0" || requests[0].Host != "api.example.com" {
			t.Errorf("requests %+v", requests)
		}
	})
	t.Run("unknown authority", func(t *testing.T) {
		asked := eTrusted.TokenRequestCount()
		p := startProcess(t, append(environ, "SSL_CERT_FILE="+os.DevNull, "SSL_CERT_DIR="+t.TempDir()))
		brokertest.Eventually(t, "the token request fails", func() bool { return len(p.logs.Lines("token request failed")) > 0 })
		line := p.logs.Lines("token request failed")[0]
		if reason, _ := line["reason"].(string); !strings.Contains(reason, "certificate") || !strings.Contains(line["what_to_do"].(string), "SSL_CERT_FILE") {
			t.Errorf("log: %v", line)
		}
		if eTrusted.TokenRequestCount() != asked {
			t.Error("the credentials were sent to a server that nobody vouches for")
		}
	})
	t.Run("the proxy refuses", func(t *testing.T) {
		refusing := brokertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "CANARY", http.StatusProxyAuthRequired)
		}))
		p := startProcess(t, append(environ, "SSL_CERT_FILE="+bundle, "HTTPS_PROXY="+refusing))
		brokertest.Eventually(t, "the token request fails", func() bool { return len(p.logs.Lines("token request failed")) > 0 })
		line := p.logs.Lines("token request failed")[0]
		if reason, _ := line["reason"].(string); !strings.Contains(reason, "407") || !strings.Contains(line["what_to_do"].(string), "HTTPS_PROXY") {
			t.Errorf("log: %v", line)
		}
		if strings.Contains(p.logs.String(), "CANARY") {
			t.Errorf("the proxy's own words are logged:\n%s", p.logs)
		}
	})
}
