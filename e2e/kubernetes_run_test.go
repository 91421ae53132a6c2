package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"etrusted-broker/internal/brokertest"
)

// TestKubernetesVariantsRun runs the real broker with the variables and Secrets of each variant. At first the Client Secret
// is wrong, so there is no token. Then the right one is written.
func TestKubernetesVariantsRun(t *testing.T) {
	forEachVariant(t, func(t *testing.T, v variant, res resources) {
		servers := startTestServers(t, time.Minute)
		p := servers.startPod(t, res)
		brokertest.Eventually(t, "the wrong secret is rejected", func() bool {
			return p.metric("token_refreshes_total", `outcome="rejected"`) > 0
		})
		p.wantProbe("liveness", p.container.LivenessProbe, true)
		p.wantProbe("startup", p.container.StartupProbe, v.startsWithoutToken)
		p.wantProbe("readiness", p.container.ReadinessProbe, false)

		p.writeSecret("etrusted", "client_secret", servers.login.currentSecret())
		p.waitForToken()
		p.wantProbe("liveness", p.container.LivenessProbe, true)
		p.wantProbe("startup", p.container.StartupProbe, true)
		p.wantProbe("readiness", p.container.ReadinessProbe, true)
		for _, warning := range []string{"is not a variable of the broker", "readable by every user"} {
			if strings.Contains(p.Output.String(), warning) {
				t.Errorf("the broker's log contains a warning: %s", warning)
			}
		}

		if v.central() {
			p.wantOnlyAppsServed(v, res)
			return
		}
		p.wantStatus(http.StatusOK, p.newAppRequest(apiBaseURL(t, res.podTemplate(t).Spec.Containers[0])))
	})
}

// wantOnlyAppsServed checks which requests a central broker serves.
func (p *brokerPod) wantOnlyAppsServed(v variant, res resources) {
	p.t.Helper()
	service := res.services()[0]
	name := service.Name + "." + service.Namespace
	for _, host := range []string{service.Name, name, name + ".svc", name + ".svc.cluster.local"} {
		p.wantStatus(http.StatusOK, p.newAppRequest(fmt.Sprintf("%s:%d", host, service.Spec.Ports[0].Port)))
	}
	want := fmt.Sprintf("%s:%d", name, service.Spec.Ports[0].Port)
	if got := apiBaseURL(p.t, readmeAppPod(p.t).Spec.Containers[0]); got != want {
		p.t.Errorf("the README sends apps to %s, want %s", got, want)
	}
	p.wantStatus(http.StatusMisdirectedRequest, p.newAppRequest("attacker.example"))

	stranger := p.newAppRequest(service.Name)
	switch {
	case p.hasEnv("BROKER_CALLERS_DIR"):
		p.wantCallers(service.Name)
	case p.hasEnv("BROKER_ACCESS_KEY_FILE"):
		stranger.request.Header.Del("Authorization")
		p.wantStatus(http.StatusUnauthorized, stranger)
	case p.hasEnv("BROKER_TLS_CERT_FILE"):
		stranger.transport.TLSClientConfig.Certificates = nil
		if got := stranger.do(); got.Err == nil {
			p.t.Errorf("an app without a certificate got %d, want no connection", got.Status)
		}
	default:
		p.t.Error("the central broker has neither an access key nor client certificates, so every pod that reaches it is served")
	}
	if v.uncommented["central/deployment.yaml"] != nil { // READ-ONLY
		write := p.newAppRequest(service.Name)
		write.request.Method = http.MethodPost
		p.wantStatus(http.StatusForbidden, write)
	}
}

// wantCallers checks what the callers shop, which has an allow list, and erp may do, and that deleting a Secret removes a caller.
func (p *brokerPod) wantCallers(host string) {
	p.t.Helper()
	request := func(key, path string) appRequest {
		a := p.newAppRequest(host)
		a.request.URL.Path = path
		a.request.Header.Set("Authorization", "Bearer "+key)
		return a
	}
	p.wantStatus(http.StatusForbidden, request(p.accessKey, "/reviews"))
	p.wantStatus(http.StatusOK, request("erp-"+p.accessKey, "/reviews"))
	p.wantStatus(http.StatusUnauthorized, request("wrong", "/channels"))
	for _, file := range p.files("etrusted-caller-shop", "key") {
		if err := os.RemoveAll(filepath.Dir(file)); err != nil {
			p.t.Fatal(err)
		}
	}
	brokertest.Eventually(p.t, "the caller without a Secret is refused", func() bool {
		return request(p.accessKey, "/channels").do().Status == http.StatusUnauthorized
	})
	p.wantStatus(http.StatusOK, request("erp-"+p.accessKey, "/reviews"))
}

// apiBaseURL returns host and port of the API_BASE_URL of an app.
func apiBaseURL(t *testing.T, app corev1.Container) string {
	t.Helper()
	for _, variable := range app.Env {
		if variable.Name == "API_BASE_URL" {
			u, err := url.Parse(variable.Value)
			if err != nil || u.Port() != "8080" || u.Path != "" {
				t.Errorf("API_BASE_URL: got %s, want port 8080 and no path", variable.Value)
			}
			return u.Host
		}
	}
	t.Fatal("the app has no API_BASE_URL")
	return ""
}

// brokerPod is a broker that runs like its container, except that its files are below dir and its ports are random.
type brokerPod struct {
	*broker
	container  corev1.Container
	dir        string
	mounts     map[string][]secretMount // by Secret
	accessKey  string                   // the app's, or that of the caller shop
	clientCert []tls.Certificate        // the app's
}

// secretMount is the directory in which a Secret is mounted.
type secretMount struct {
	dir   string
	items []corev1.KeyToPath // the paths of its keys; nil if they are the keys themselves
}

// startPod starts a broker as the manifests would, with a wrong Client Secret.
func (s *testServers) startPod(t *testing.T, res resources) *brokerPod {
	t.Helper()
	template, clients := res.podTemplate(t), brokertest.NewCA(t, "apps")
	p := &brokerPod{
		broker: &broker{t: t}, container: brokerContainer(t, template.Spec), dir: t.TempDir(), mounts: map[string][]secretMount{},
		accessKey: s.newSecret(), clientCert: clients.ClientCertificate("shop"),
	}
	for _, volume := range template.Spec.Volumes {
		for _, mount := range p.container.VolumeMounts {
			if mount.Name != volume.Name {
				continue
			}
			if volume.Secret != nil {
				p.mounts[volume.Secret.SecretName] = append(p.mounts[volume.Secret.SecretName], secretMount{dir: mount.MountPath})
			}
			if volume.Projected != nil {
				for _, source := range volume.Projected.Sources {
					p.mounts[source.Secret.Name] = append(p.mounts[source.Secret.Name], secretMount{mount.MountPath, source.Secret.Items})
				}
			}
		}
	}
	p.writeSecret("etrusted", "client_id", clientID)
	p.writeSecret("etrusted", "client_secret", s.newSecret())
	p.writeSecret("etrusted-access-key", "access_key", p.accessKey)
	p.writeSecret("etrusted-caller-shop", "key", p.accessKey)
	p.writeSecret("etrusted-caller-shop", "allow", "GET /channels")
	p.writeSecret("etrusted-caller-erp", "key", "erp-"+p.accessKey)
	p.writeSecret("etrusted-store", "url", "redis://127.0.0.1:1/0") // unreachable, which must not fail any request
	certificate, key := s.ca.Issue("localhost", time.Hour)
	p.writeSecret("etrusted-broker-tls", "tls.crt", string(certificate))
	p.writeSecret("etrusted-broker-tls", "tls.key", string(key))
	p.writeSecret("etrusted-broker-tls", "ca.crt", string(clients.CertificatePEM()))

	environ := slices.Clone(noCredentials)
	for _, variable := range p.container.Env {
		environ = append(environ, variable.Name+"="+p.envValue(variable, res))
	}
	p.broker = s.startBroker(t, environ...)
	return p
}

// writeSecret writes a key of a Secret to every path at which that Secret is mounted.
func (p *brokerPod) writeSecret(secret, key, value string) {
	p.t.Helper()
	for _, file := range p.files(secret, key) {
		writeFiles(p.t, filepath.Dir(file), map[string]string{filepath.Base(file): value + "\n"})
	}
}

// files returns the files that have a key of a Secret.
func (p *brokerPod) files(secret, key string) (files []string) {
	for _, mount := range p.mounts[secret] {
		if mount.items == nil {
			files = append(files, filepath.Join(p.dir, mount.dir, key))
		}
		for _, item := range mount.items {
			if item.Key == key {
				files = append(files, filepath.Join(p.dir, mount.dir, item.Path))
			}
		}
	}
	return files
}

// envValue returns the value of a variable for a process with its files below dir and a random port.
func (p *brokerPod) envValue(variable corev1.EnvVar, res resources) string {
	if variable.ValueFrom != nil {
		if field := variable.ValueFrom.FieldRef.FieldPath; field != "metadata.namespace" {
			p.t.Fatalf("%s: got field %s, want metadata.namespace", variable.Name, field)
		}
		return res.services()[0].Namespace
	}
	value := variable.Value
	for _, other := range p.container.Env {
		if reference := "$(" + other.Name + ")"; strings.Contains(value, reference) {
			value = strings.ReplaceAll(value, reference, p.envValue(other, res))
		}
	}
	if strings.HasPrefix(value, "/etc/") {
		return filepath.Join(p.dir, value)
	}
	if host, _, err := net.SplitHostPort(value); err == nil && strings.HasSuffix(variable.Name, "_LISTEN") {
		return net.JoinHostPort(host, "0")
	}
	return value
}

// hasEnv reports whether the container sets the variable.
func (p *brokerPod) hasEnv(variable string) bool {
	return slices.ContainsFunc(p.container.Env, func(v corev1.EnvVar) bool { return v.Name == variable })
}

// wantProbe runs a probe as the kubelet does, and fails the test unless its success is want.
func (p *brokerPod) wantProbe(name string, probe *corev1.Probe, want bool) {
	p.t.Helper()
	if probe == nil {
		return
	}
	var got bool
	var output string
	switch {
	case probe.HTTPGet != nil:
		if port := containerPort(p.container, probe.HTTPGet.Port); port != containerPort(p.container, intstr.FromString("metrics")) || port == 0 || probe.HTTPGet.Host != "" {
			p.t.Errorf("%s probe: got port %d and host %q, want the port named metrics and no host", name, port, probe.HTTPGet.Host)
		}
		resp := p.get(p.adminURL + probe.HTTPGet.Path)
		got, output = resp.Status == http.StatusOK, resp.Body
	case probe.Exec != nil:
		if probe.Exec.Command[0] != "/broker" {
			p.t.Fatalf("%s probe: got command %s, want /broker, the only one in the image", name, probe.Exec.Command[0])
		}
		cmd := exec.Command(brokerBinary, probe.Exec.Command[1:]...)
		admin := strings.TrimPrefix(p.adminURL, "http://")
		if p.hasEnv("BROKER_ADMIN_LISTEN") { // on all addresses
			admin = strings.Replace(admin, "127.0.0.1:", "0.0.0.0:", 1)
		}
		cmd.Env = []string{"BROKER_ADMIN_LISTEN=" + admin}
		started := time.Now()
		text, err := cmd.CombinedOutput()
		got, output = err == nil, string(text)
		if limit := time.Duration(probe.TimeoutSeconds) * time.Second; name != "liveness" && time.Since(started) > limit {
			p.t.Errorf("%s probe: took longer than its timeout of %v", name, limit)
		}
	}
	if got != want {
		p.t.Errorf("%s probe: got success %v, want %v: %s", name, got, want, output)
	}
}

// appRequest is a request from an app, with the transport that sends it.
type appRequest struct {
	request   *http.Request
	transport *http.Transport
}

// newAppRequest returns a request with this Host and with everything that the broker requires of an app.
func (p *brokerPod) newAppRequest(host string) appRequest {
	p.t.Helper()
	a := appRequest{transport: &http.Transport{DisableKeepAlives: true}}
	address := p.appURL
	if p.hasEnv("BROKER_TLS_CERT_FILE") {
		address = strings.Replace(address, "http://", "https://", 1)
		a.transport.TLSClientConfig = &tls.Config{
			RootCAs: p.servers.ca.pool, Certificates: p.clientCert, MinVersion: tls.VersionTLS12,
		}
	}
	var err error
	if a.request, err = http.NewRequest(http.MethodGet, address+"/channels", nil); err != nil {
		p.t.Fatal(err)
	}
	a.request.Host = host
	if p.hasEnv("BROKER_ACCESS_KEY_FILE") || p.hasEnv("BROKER_CALLERS_DIR") {
		a.request.Header.Set("Authorization", "Bearer "+p.accessKey)
	}
	return a
}

func (a appRequest) do() brokertest.Response {
	client := &http.Client{Transport: a.transport, Timeout: brokertest.Timeout}
	return brokertest.ReadResponse(client.Do(a.request))
}

func (p *brokerPod) wantStatus(status int, a appRequest) {
	p.t.Helper()
	if got := a.do(); got.Status != status || got.Err != nil {
		p.t.Errorf("%s with Host %s: got %d %s (%v), want %d", a.request.Method, a.request.Host, got.Status, got.Body, got.Err, status)
	}
}
