package localca_test

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"etrusted-broker/proxy/localca"
)

func certificates(bundle []byte) (n int) {
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		n++
	}
	return n
}

func TestBundleHasBothKindsOfCertificates(t *testing.T) {
	ca, other := open(t, t.TempDir(), "api.example"), open(t, t.TempDir(), "other.example")
	system := filepath.Join(t.TempDir(), "system.pem")
	text := strings.TrimSpace(string(other.CertificatePEM())) // without the last line break
	if err := os.WriteFile(system, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := localca.BundleWithSystemCAs(ca.CertificatePEM(), system)
	if err != nil || certificates(got) != 2 || !strings.HasPrefix(string(got), strings.TrimSpace(string(ca.CertificatePEM()))) {
		t.Errorf("got %v and %d certificates, want 2, the CA's first:\n%s", err, certificates(got), got)
	}
	if _, err := localca.BundleWithSystemCAs(ca.CertificatePEM(), filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("SSL_CERT_FILE does not exist: got no error")
	}
}

// Java's own tool is the second implementation of the format.
func TestJavaReadsTheTrustStore(t *testing.T) {
	keytool, err := exec.LookPath("keytool")
	if err != nil {
		t.Skip("needs Java's keytool")
	}
	ca, other := open(t, t.TempDir(), "api.example"), open(t, t.TempDir(), "other.example")
	store := filepath.Join(t.TempDir(), "truststore.jks")
	bundle := append(ca.CertificatePEM(), other.CertificatePEM()...)
	if err := os.WriteFile(store, localca.JavaTrustStore(bundle), 0o600); err != nil {
		t.Fatal(err)
	}
	list := func(password string) string {
		output, _ := exec.CommandContext(t.Context(), keytool, "-list", "-rfc", "-keystore", store, "-storetype", "JKS", "-storepass", password).CombinedOutput()
		return string(output)
	}
	output := list(localca.JavaTrustStorePassword)
	if certificates([]byte(output)) != 2 || !strings.Contains(output, strings.Fields(string(ca.CertificatePEM()))[2]) {
		t.Errorf("got %d certificates, want 2:\n%s", certificates([]byte(output)), output)
	}
	if got := list("wrong-password"); !strings.Contains(got, "password was incorrect") {
		t.Errorf("wrong password: got %s, want it refused", got)
	}
}
