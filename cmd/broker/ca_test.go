package main

import (
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"
)

func TestCAPrintsCertificateAndInstructions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	code, stdout, stderr := invoke([]string{"ca"}, "BROKER_INTERCEPT_CA_DIR="+dir)
	if code != exitOK || stderr != "" {
		t.Fatalf("got exit code %d, want %d: %s", code, exitOK, stderr)
	}
	block, rest := pem.Decode([]byte(stdout))
	if block == nil || block.Type != "CERTIFICATE" {
		t.Fatalf("got %s, want a certificate first", stdout)
	}
	for _, app := range []string{"PHP", "Java", "Node", "Python", "Go", filepath.Join(dir, "ca.crt")} {
		if !strings.Contains(string(rest), app) {
			t.Errorf("got no instructions for %s, want some:\n%s", app, rest)
		}
	}
	if _, again, _ := invoke([]string{"ca"}, "BROKER_INTERCEPT_CA_DIR="+dir); again != stdout {
		t.Error("got another certificate the second time, want the same")
	}
	for _, environ := range [][]string{nil, {"BROKER_INTERCEPT_CA_DIR=" + dir + "/nowhere"}, {"BROKER_INTERCEPT_CA_DIR=" + dir, "ETRUSTED_API_URL=https://other.example"}} {
		code, _, stderr := invoke([]string{"ca"}, environ...)
		if names := problemsIn(stderr); code != exitUsageOrConfig || len(names) != 1 || names[0] != "BROKER_INTERCEPT_CA_DIR" {
			t.Errorf("%v: got exit code %d, want %d and one problem: %s", environ, code, exitUsageOrConfig, stderr)
		}
	}
}
