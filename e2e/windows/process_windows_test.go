package windows

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// waitTimeout limits the wait for an event that normally takes milliseconds. It is long because the machine may be busy.
const waitTimeout = 30 * time.Second

var (
	brokerBinary string // the path of the program; TestMain sets it

	kernel32                 = syscall.NewLazyDLL("kernel32.dll")
	generateConsoleCtrlEvent = kernel32.NewProc("GenerateConsoleCtrlEvent")

	// onWine reports that this is not Windows, but Wine.
	onWine = syscall.NewLazyDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
)

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	if brokerBinary = os.Getenv("BROKER_BINARY"); brokerBinary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "broker-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	brokerBinary = filepath.Join(dir, "etrusted-broker.exe")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", brokerBinary, "./cmd/broker")
	build.Dir = filepath.Join("..", "..") // the broker's module, with its own dependencies
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// tempDir is like t.TempDir, whose removal Wine 8 does not support.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "broker-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// environment returns that of the test without variables of the broker, and more variables.
func environment(more ...string) []string {
	var environ []string
	for _, pair := range os.Environ() {
		if name := strings.ToUpper(pair); !strings.HasPrefix(name, "BROKER_") && !strings.HasPrefix(name, "ETRUSTED_") && !strings.HasPrefix(name, "SSL_CERT_") {
			environ = append(environ, pair)
		}
	}
	return append(environ, more...)
}

// run runs a command of the broker, and returns its output and its exit code.
func run(t *testing.T, environ []string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.Command(brokerBinary, args...)
	cmd.Env = environ
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// mustRun is run for a command that must succeed.
func mustRun(t *testing.T, environ []string, args ...string) (output string) {
	t.Helper()
	output, code := run(t, environ, args...)
	if code != 0 {
		t.Fatalf("%q: got exit code %d, want 0:\n%s", args, code, output)
	}
	return output
}

// process is a broker that runs until the test ends.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	output *syncBuffer
	exited chan struct{}
}

// start starts a command of the broker that gets no events of the console.
func start(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	return startProcess(t, syscall.CREATE_NEW_PROCESS_GROUP, environ, args)
}

// startForeground starts a command of the broker that can be interrupted.
func startForeground(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	if onWine {
		return startProcess(t, 0, environ, args)
	}
	return startProcess(t, syscall.CREATE_NEW_PROCESS_GROUP, environ, args)
}

func startProcess(t *testing.T, flags uint32, environ, args []string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(brokerBinary, args...), output: &syncBuffer{}, exited: make(chan struct{})}
	p.cmd.Env = environ
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: flags}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // wantExit checks ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("output of %q:\n%s", args, p.output)
		}
	})
	return p
}

// interrupt sends Ctrl-Break to a process that startForeground has started: Ctrl-C cannot be sent to one process group. Wine 8 can
// only send Ctrl-C, and only to all that belong to no group of their own, such as this process.
func (p *process) interrupt() {
	p.t.Helper()
	event, group := uintptr(syscall.CTRL_BREAK_EVENT), uintptr(p.cmd.Process.Pid)
	if onWine {
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
		event, group = syscall.CTRL_C_EVENT, 0
	}
	if ok, _, err := generateConsoleCtrlEvent.Call(event, group); ok == 0 {
		p.t.Fatal(err)
	}
}

// wantCleanExit waits until the process has ended, and fails the test unless it has shut down gracefully.
func (p *process) wantCleanExit() {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(waitTimeout):
		p.t.Fatalf("the process has not ended after %v", waitTimeout)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(p.output.String(), "all requests have finished") {
		p.t.Errorf("got exit code %d, want 0 and that all requests have finished", code)
	}
}

// waitFor waits until the output contains a text.
func (p *process) waitFor(text string) {
	p.t.Helper()
	eventually(p.t, text, func() bool { return strings.Contains(p.output.String(), text) })
}

// valueAfter returns the word after a text in the output.
func (p *process) valueAfter(text string) string {
	p.t.Helper()
	p.waitFor(text)
	_, rest, _ := strings.Cut(p.output.String(), text)
	word, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	word, _, _ = strings.Cut(word, "\n")
	return strings.Trim(word, "\",\r")
}

// get returns status and body of a response; 0 without a response.
func get(url string) (status int, body string) {
	client := http.Client{Timeout: waitTimeout}
	response, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// upload starts a request at a broker and leaves its body unfinished. The result of finish is its status.
func upload(t *testing.T, url string) (finish func() int) {
	t.Helper()
	reader, writer := io.Pipe()
	request, err := http.NewRequest(http.MethodPost, url+"/events", reader)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	status := make(chan int, 1)
	go func() {
		client := http.Client{Timeout: waitTimeout}
		response, err := client.Do(request)
		if err != nil {
			t.Log(err)
			status <- 0
			return
		}
		_ = response.Body.Close()
		status <- response.StatusCode
	}()
	if _, err := io.WriteString(writer, `{"type":`); err != nil { // returns once the client has sent the header
		t.Fatal(err)
	}
	return func() int {
		_, _ = io.WriteString(writer, `"checkout"}`)
		_ = writer.Close()
		return <-status
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); !isSo(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", waitTimeout, what)
		}
	}
}

// syncBuffer is a buffer that can be read while a process writes to it.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
