package e2e

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
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
)

// TestKubernetesRun runs the real broker with each base's variables and Secrets. At first the Client Secret is wrong: there
// is no token. Then it is rotated.
func TestKubernetesRun(t *testing.T) {
	eachBase(t, func(t *testing.T, b base, c cluster) {
		w := newWorld(t, time.Minute)
		p := w.startPod(t, c)
		eventually(t, patience, "the wrong secret is rejected", func() bool {
			return p.metric("token_refreshes_total", `outcome="rejected"`) == 1
		})
		p.wantProbe("liveness", p.container.LivenessProbe, true)
		p.wantProbe("startup", p.container.StartupProbe, b.startsWithoutToken)
		p.wantProbe("readiness", p.container.ReadinessProbe, false)

		p.writeSecret("etrusted", "client_secret", w.login.currentSecret())
		p.wait()
		p.wantProbe("liveness", p.container.LivenessProbe, true)
		p.wantProbe("startup", p.container.StartupProbe, true)
		p.wantProbe("readiness", p.container.ReadinessProbe, true)
		for _, complaint := range []string{"is not a variable of the broker", "may be read by every user"} {
			if strings.Contains(p.log.String(), complaint) {
				t.Errorf("the broker complains: %s", complaint)
			}
		}

		if b.central() {
			p.wantClients(b, c)
			return
		}
		p.want(http.StatusOK, p.asApp(baseURL(t, c.template(t).Spec.Containers[0])))
	})
}

// wantClients holds who is let in by a broker for many apps.
func (p *pod) wantClients(b base, c cluster) {
	p.t.Helper()
	service := c.services[0]
	name := service.Name + "." + service.Namespace
	for _, host := range []string{service.Name, name, name + ".svc", name + ".svc.cluster.local"} {
		p.want(http.StatusOK, p.asApp(fmt.Sprintf("%s:%d", host, service.Spec.Ports[0].Port)))
	}
	if told := baseURL(p.t, readmePod(p.t).Spec.Containers[0]); told != fmt.Sprintf("%s:%d", name, service.Spec.Ports[0].Port) {
		p.t.Errorf("the README sends apps to %s", told)
	}
	p.want(http.StatusMisdirectedRequest, p.asApp("attacker.example"))

	stranger := p.asApp(service.Name)
	switch {
	case p.has("BROKER_ACCESS_KEY_FILE"):
		stranger.request.Header.Del("Authorization")
		p.want(http.StatusUnauthorized, stranger)
	case p.has("BROKER_TLS_CERT_FILE"):
		stranger.transport.TLSClientConfig.Certificates = nil
		if got, err := stranger.do(); err == nil {
			p.t.Errorf("an app without a certificate got %d", got.status)
		}
	default:
		p.t.Error("whoever reaches it is let in")
	}
	if b.uncommented["central/deployment.yaml"] != nil { // READ-ONLY
		write := p.asApp(service.Name)
		write.request.Method = http.MethodPost
		p.want(http.StatusForbidden, write)
	}
}

// baseURL is the host and port that an app is given.
func baseURL(t *testing.T, app corev1.Container) string {
	t.Helper()
	for _, variable := range app.Env {
		if variable.Name == "API_BASE_URL" {
			u, err := url.Parse(variable.Value)
			if err != nil || u.Port() != "8080" || u.Path != "" {
				t.Errorf("API_BASE_URL is %s", variable.Value)
			}
			return u.Host
		}
	}
	t.Fatal("there is no API_BASE_URL")
	return ""
}

// pod is a broker that runs as its container would, but for the files, which are below a folder, and the ports.
type pod struct {
	*broker
	container corev1.Container
	folder    string
	volumes   map[string][]string // where each Secret is mounted
	key       string
	identity  tls.Certificate // of the app
}

func (w *world) startPod(t *testing.T, c cluster) *pod {
	t.Helper()
	template := c.template(t)
	p := &pod{
		broker: &broker{t: t}, container: brokerOf(t, template.Spec), folder: t.TempDir(), volumes: map[string][]string{},
		key: w.newSecret(), identity: newIdentity(t),
	}
	for _, volume := range template.Spec.Volumes {
		for _, mount := range p.container.VolumeMounts {
			if mount.Name == volume.Name && volume.Secret != nil {
				p.volumes[volume.Secret.SecretName] = append(p.volumes[volume.Secret.SecretName], mount.MountPath)
			}
		}
	}
	p.writeSecret("etrusted", "client_id", clientID)
	p.writeSecret("etrusted", "client_secret", w.newSecret())
	p.writeSecret("etrusted-access-key", "access_key", p.key)
	p.writeSecret("etrusted-store", "url", "redis://127.0.0.1:1/0") // it is away, and that costs no request
	p.writeSecret("etrusted-broker-tls", "tls.crt", pemOf("CERTIFICATE", w.authority.certificate.Certificate[0]))
	p.writeSecret("etrusted-broker-tls", "ca.crt", pemOf("CERTIFICATE", p.identity.Certificate[0]))
	key, err := x509.MarshalPKCS8PrivateKey(w.authority.certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p.writeSecret("etrusted-broker-tls", "tls.key", pemOf("PRIVATE KEY", key))

	var environ []string
	for _, variable := range p.container.Env {
		environ = append(environ, variable.Name+"="+p.valueOf(variable, c))
	}
	p.broker = w.start(t, environ...)
	// Who listens everywhere listens there too.
	p.app = strings.Replace(p.app, "[::]", "127.0.0.1", 1)
	p.admin = strings.Replace(p.admin, "[::]", "127.0.0.1", 1)
	return p
}

// writeSecret writes a key of a Secret to wherever that is mounted.
func (p *pod) writeSecret(secret, key, value string) {
	p.t.Helper()
	for _, mounted := range p.volumes[secret] {
		folder := filepath.Join(p.folder, mounted)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, key), []byte(value+"\n"), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

// valueOf is a variable's value in a process that has the pod's files and a port of its own.
func (p *pod) valueOf(variable corev1.EnvVar, c cluster) string {
	if variable.ValueFrom != nil {
		if field := variable.ValueFrom.FieldRef.FieldPath; field != "metadata.namespace" {
			p.t.Fatalf("%s is %s", variable.Name, field)
		}
		return c.services[0].Namespace
	}
	value := variable.Value
	for _, other := range p.container.Env {
		if reference := "$(" + other.Name + ")"; strings.Contains(value, reference) {
			value = strings.ReplaceAll(value, reference, p.valueOf(other, c))
		}
	}
	if strings.HasPrefix(value, "/etc/") {
		return filepath.Join(p.folder, value)
	}
	if host, _, err := net.SplitHostPort(value); err == nil && strings.HasSuffix(variable.Name, "_LISTEN") {
		return net.JoinHostPort(host, "0")
	}
	return value
}

func (p *pod) has(variable string) bool {
	return slices.ContainsFunc(p.container.Env, func(v corev1.EnvVar) bool { return v.Name == variable })
}

// wantProbe does what the kubelet does.
func (p *pod) wantProbe(name string, probe *corev1.Probe, want bool) {
	p.t.Helper()
	if probe == nil {
		return
	}
	var got bool
	var said string
	switch {
	case probe.HTTPGet != nil:
		if port := portOf(p.container, probe.HTTPGet.Port); port != portOf(p.container, intstr.FromString("metrics")) || port == 0 || probe.HTTPGet.Host != "" {
			p.t.Errorf("%s: asks port %d", name, port)
		}
		answer := p.get(p.admin + probe.HTTPGet.Path)
		got, said = answer.status == http.StatusOK, answer.body
	case probe.Exec != nil:
		if probe.Exec.Command[0] != "/broker" {
			p.t.Fatalf("%s: there is no %s in the image", name, probe.Exec.Command[0])
		}
		command := exec.Command(binary, probe.Exec.Command[1:]...)
		admin := strings.TrimPrefix(p.admin, "http://")
		if p.has("BROKER_ADMIN_LISTEN") { // beyond the pod
			admin = strings.Replace(admin, "127.0.0.1:", "0.0.0.0:", 1)
		}
		command.Env = []string{"BROKER_ADMIN_LISTEN=" + admin}
		started := time.Now()
		output, err := command.CombinedOutput()
		got, said = err == nil, string(output)
		if limit := time.Duration(probe.TimeoutSeconds) * time.Second; name != "liveness" && time.Since(started) > limit {
			p.t.Errorf("%s: took longer than the %v that it has", name, limit)
		}
	}
	if got != want {
		p.t.Errorf("the probe of %s succeeds: %v, want %v: %s", name, got, want, said)
	}
}

// visit is a request of an app.
type visit struct {
	request   *http.Request
	transport *http.Transport
}

// asApp is that of one that addresses the broker so, with all that it needs to be let in.
func (p *pod) asApp(host string) visit {
	p.t.Helper()
	v := visit{transport: &http.Transport{DisableKeepAlives: true}}
	address := p.app
	if p.has("BROKER_TLS_CERT_FILE") {
		address = strings.Replace(address, "http://", "https://", 1)
		v.transport.TLSClientConfig = &tls.Config{
			RootCAs: p.world.authority.pool, Certificates: []tls.Certificate{p.identity}, MinVersion: tls.VersionTLS12,
		}
	}
	var err error
	if v.request, err = http.NewRequest(http.MethodGet, address+"/channels", nil); err != nil {
		p.t.Fatal(err)
	}
	v.request.Host = host
	if p.has("BROKER_ACCESS_KEY_FILE") {
		v.request.Header.Set("Authorization", "Bearer "+p.key)
	}
	return v
}

func (v visit) do() (answer, error) {
	response, err := (&http.Client{Transport: v.transport, Timeout: patience}).Do(v.request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text)}, err
}

func (p *pod) want(status int, v visit) {
	p.t.Helper()
	if got, err := v.do(); got.status != status || err != nil {
		p.t.Errorf("%s as %s: %d %s, want %d (%v)", v.request.Method, v.request.Host, got.status, got.body, status, err)
	}
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// newIdentity returns a certificate for a client, which is its own authority.
func newIdentity(t *testing.T) tls.Certificate {
	t.Helper()
	key := newECKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
