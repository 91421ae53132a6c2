package windows

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"etrusted-broker/internal/brokertest"
)

var (
	brokerBinary string // the path of the program; TestMain sets it

	kernel32                 = syscall.NewLazyDLL("kernel32.dll")
	generateConsoleCtrlEvent = kernel32.NewProc("GenerateConsoleCtrlEvent")

	// onWine reports that this is not Windows, but Wine.
	onWine = syscall.NewLazyDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil
)

func TestMain(m *testing.M) {
	os.Exit(brokertest.WithProgram(filepath.Join("..", ".."), func(path string) int {
		brokerBinary = path
		return m.Run()
	}))
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
	*brokertest.Process
	t *testing.T
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
	cmd := exec.Command(brokerBinary, args...)
	cmd.Env = environ
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: flags}
	return &process{brokertest.StartProcess(t, cmd, nil), t}
}

// interrupt sends Ctrl-Break to a process that startForeground has started: Ctrl-C cannot be sent to one process group. Wine 8 can
// only send Ctrl-C, and only to all that belong to no group of their own, such as this process.
func (p *process) interrupt() {
	p.t.Helper()
	event, group := uintptr(syscall.CTRL_BREAK_EVENT), uintptr(p.Cmd.Process.Pid)
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
	if code := p.Wait(); code != 0 || !strings.Contains(p.Output.String(), "all requests have finished") {
		p.t.Errorf("got exit code %d, want 0 and that all requests have finished", code)
	}
}

// waitFor waits until the output contains a text.
func (p *process) waitFor(text string) {
	p.t.Helper()
	brokertest.Eventually(p.t, text, func() bool { return strings.Contains(p.Output.String(), text) })
}

// valueAfter returns the word after a text in the output.
func (p *process) valueAfter(text string) string {
	p.t.Helper()
	p.waitFor(text)
	_, rest, _ := strings.Cut(p.Output.String(), text)
	word, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	word, _, _ = strings.Cut(word, "\n")
	return strings.Trim(word, "\",\r")
}

// get returns the response, of which the status is 0 if there was none.
func get(url string) brokertest.Response {
	return brokertest.Do(http.NewRequest(http.MethodGet, url, nil))
}

// upload starts a request at a broker and leaves its body unfinished. The result of finish is the response.
func upload(t *testing.T, url string) (finish func() brokertest.Response) {
	t.Helper()
	reader, writer := io.Pipe()
	request, err := http.NewRequest(http.MethodPost, url+"/events", reader)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	responses := make(chan brokertest.Response, 1)
	go func() { responses <- brokertest.Do(request, nil) }()
	if _, err := io.WriteString(writer, `{"type":`); err != nil { // returns once the client has sent the header
		t.Fatal(err)
	}
	return func() brokertest.Response {
		_, _ = io.WriteString(writer, `"checkout"}`)
		_ = writer.Close()
		return <-responses
	}
}
