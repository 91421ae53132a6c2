package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestInterceptHostExampleRuns: with the sockets, the settings and the hosts file of the example, both apps work.
func TestInterceptHostExampleRuns(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	r := startRealNames(t)
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, brokerBinary)
	var names []string
	for _, address := range unitSettings(t, "etrusted-broker-intercept.socket", "ListenStream") {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		file, err := listener.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = file.Close(), listener.Close() }()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
		names = append(names, unitSettings(t, "etrusted-broker-intercept.socket", "FileDescriptorName")...)
	}
	if len(names) != 2 {
		t.Fatalf("got %d sockets, want 2", len(names))
	}
	settings := []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=" + strings.Join(names, ":")}
	for _, setting := range unitSettings(t, "intercept.conf", "Environment") {
		settings = append(settings, strings.ReplaceAll(setting, "%S/etrusted-broker/ca", t.TempDir()))
	}
	b := r.startCommand(t, cmd, slices.Concat(r.environ(), settings, []string{"HTTPS_PROXY=", "BROKER_UPSTREAM_RESOLVER=127.0.0.1"})...)
	b.waitForToken()
	r.wantExampleAppsWork(t, b, "none")
}

// unitSettings returns the values of a setting in a unit or drop-in of the example.
func unitSettings(t *testing.T, file, name string) []string {
	t.Helper()
	var values []string
	for _, match := range regexp.MustCompile("(?m)^"+name+"=(.*)$").FindAllStringSubmatch(readFile(t, filepath.Join(interceptExamples, "host", file)), -1) {
		values = append(values, match[1])
	}
	return values
}

// TestInterceptUnitsAreValid: systemd accepts the socket, and the service with each drop-in.
func TestInterceptUnitsAreValid(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("NO systemd-analyze: the units of the example are NOT TESTED")
	}
	const program = "usr/local/bin/etrusted-broker"
	root := t.TempDir()
	for target, source := range map[string]string{
		program: brokerBinary,
		"etc/systemd/system/etrusted-broker.service":                  "../examples/systemd/etrusted-broker.service",
		"etc/systemd/system/etrusted-broker-intercept.socket":         interceptExamples + "/host/etrusted-broker-intercept.socket",
		"etc/systemd/system/etrusted-broker.service.d/intercept.conf": interceptExamples + "/host/intercept.conf",
		"etc/systemd/system/etrusted-broker.service.d/port443.conf":   interceptExamples + "/host/port443.conf",
	} {
		file := filepath.Join(root, target)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(readFile(t, source)), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(root, program), 0o755); err != nil {
		t.Fatal(err)
	}
	system := filepath.Join(root, "lib/systemd")
	if output, err := exec.Command("sh", "-c", `mkdir -p "$0" && cp -a /lib/systemd/system "$0/"`, system).CombinedOutput(); err != nil {
		t.Fatalf("copying the system's units: %v\n%s", err, output)
	}
	output, err := exec.Command("systemd-analyze", "verify", "--root="+root, "--man=no", "etrusted-broker.service", "etrusted-broker-intercept.socket").CombinedOutput()
	if err != nil || strings.Contains(string(output), "etrusted-broker") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, output)
	}
}

// TestInterceptComposeExampleRuns: with the variables and the configuration files of the example, both apps work if they have the
// access key.
func TestInterceptComposeExampleRuns(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	var file struct {
		Services map[string]struct {
			Environment map[string]string
			Volumes     []string
			Configs     []struct{ Source, Target string }
			Networks    map[string]struct{ Aliases []string }
		}
		Configs map[string]struct{ File string }
	}
	if err := yaml.Unmarshal([]byte(readFile(t, interceptExamples+"/compose/compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	service := file.Services["broker"]
	if got := service.Networks["default"].Aliases; !slices.Equal(got, []string{realAPIHost, realLoginHost}) {
		t.Errorf("got the aliases %q, want the names of the API and the login server", got)
	}
	for name, service := range file.Services {
		if mounts := slices.ContainsFunc(service.Volumes, func(volume string) bool { return strings.HasPrefix(volume, "./ca:") }); mounts != (name == "broker") {
			t.Errorf("%s mounts the directory of ca.key: got %v, want it for the broker only", name, mounts)
		}
		for _, config := range service.Configs {
			if config.Source == "bundle" && config.Target != documentedBundle {
				t.Errorf("%s has the bundle at %s, want %s, as etrusted.ini says", name, config.Target, documentedBundle)
			}
		}
	}
	if got := file.Configs["ini"].File; got != "../app/etrusted.ini" || file.Services["php"].Configs[1].Source != "ini" {
		t.Errorf("got the ini file %q, want PHP to have ../app/etrusted.ini", got)
	}
	r := startRealNames(t)
	b := r.startExample(t, service.Environment)
	r.wantExampleAppsWork(t, b, accessKey)
	if printed, err := b.runExampleApp(t, php, "wrong"); err == nil {
		t.Errorf("with a wrong access key the app printed %q, want an error", printed)
	}
}

// startExample starts a broker with the variables of an example. Its directories and the values that users choose are the test's.
func (r *reviewsServers) startExample(t *testing.T, environment map[string]string) *broker {
	t.Helper()
	environ := append(r.environ(), "HTTPS_PROXY=")
	for name, value := range environment {
		switch {
		case strings.HasSuffix(name, "_FILE"):
			continue // the credentials are in other variables
		case name == "BROKER_INTERCEPT_CA_DIR":
			value = t.TempDir()
		case name == "BROKER_UPSTREAM_RESOLVER":
			value = "127.0.0.1"
		case name == "BROKER_ACCESS_KEY":
			value = accessKey
			r.secrets = append(r.secrets, accessKey) // must not be in the log
		}
		environ = append(environ, name+"="+value)
	}
	cmd := exec.Command(brokerBinary, "config")
	cmd.Env = environ
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("broker config: %v\n%s", err, output)
	}
	if environment["BROKER_INTERCEPT_LISTEN"] == "0.0.0.0:443" { // here, the API has another address of the same network
		environ = append(environ, "BROKER_INTERCEPT_LISTEN=localhost:443")
	}
	return r.testServers.startReadyBroker(t, environ...)
}

// wantExampleAppsWork fails the test unless the apps in PHP and Java print all reviews. They send the secret as their own.
func (r *reviewsServers) wantExampleAppsWork(t *testing.T, b *broker, secret string) {
	t.Helper()
	for _, language := range []*language{phpFPM, php, java} {
		t.Run(language.name, func(t *testing.T) {
			language.need(t)
			printed, err := b.runExampleApp(t, language, secret)
			if err != nil {
				t.Fatal(err)
			}
			r.wantReviews(t, printed)
		})
	}
	r.wantNoAppCredentials(t)
}

// runExampleApp runs the example's app, which trusts what "broker ca -bundle" prints.
func (b *broker) runExampleApp(t *testing.T, l *language, secret string) ([]string, error) {
	t.Helper()
	cmd := exec.Command(brokerBinary, "ca", "-bundle")
	cmd.Env = b.Cmd.Env
	bundle, err := cmd.Output()
	if err != nil {
		t.Fatalf("broker ca -bundle: %v", err)
	}
	config := l.trustCA(t, tempFile(t, string(bundle))).with(withEnv("ETRUSTED_CLIENT_ID="+dummyID, "ETRUSTED_CLIENT_SECRET="+secret))
	return l.run(t, filepath.Join(interceptExamples, "app", l.program), config)
}
