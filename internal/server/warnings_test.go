package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"

	"etrusted-broker/internal/brokertest"
)

// Without the file api_url, an account of QA would use production; without the file allow, a caller may do everything.
func TestWarnsAboutMisspeltFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		known []string
		want  string // the suggestion; empty without a warning
	}{
		"api-url":       {accountFileNames, "api_url"},
		"apiurl":        {accountFileNames, "api_url"},
		"API_URL":       {accountFileNames, "api_url"},
		"scope":         {accountFileNames, "scopes"},
		"clientsecret":  {accountFileNames, "client_secret"},
		"client_secret": {accountFileNames, ""},
		"notes":         {accountFileNames, ""},
		"..data":        {accountFileNames, ""},
		"README":        {accountFileNames, ""},
		"alow":          {callerFileNames, "allow"},
		"allow~":        {callerFileNames, ""}, // an editor's backup
		"account":       {callerFileNames, "accounts"},
		"keys":          {callerFileNames, "key"},
		"expires":       {callerFileNames, ""},
		"env":           {callerFileNames, ""},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("CANARY"), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		b := &broker{log: newLogger(&log, zapcore.InfoLevel, "json")}
		b.warnMisspeltFiles(dir, test.known)
		got := log.String()
		if strings.Contains(got, "CANARY") || test.want == "" && got != "" ||
			test.want != "" && (strings.Count(got, "\n") != 1 || !strings.Contains(got, name+" is not a file that the broker reads; did you mean "+test.want+"?")) {
			t.Errorf("%s: got %q, want the suggestion %q", name, got, test.want)
		}
	}
}

// Run writes a line for each variable without effect, and does not change the slices of its configuration.
func TestRunWarnsOfVariablesWithoutEffect(t *testing.T) {
	c := loadConfig(t, brokertest.Environ("http://127.0.0.1:1"))
	c.Listen = "192.0.2.1:8080" // which this machine does not have: Run returns
	unknown := []string{"unknown", "beyond the slice"}
	c.UnknownVariables, c.IneffectiveVariables = unknown[:1], []string{"ineffective"}
	var out brokertest.LogBuffer
	if err := Run(t.Context(), c, Options{Log: &out}); err == nil || len(out.Lines("cannot start: "+err.Error())) != 1 {
		t.Errorf("got error %v and the log %s, want an error that is logged", err, out.String())
	}
	if len(out.Lines("unknown")) != 1 || len(out.Lines("ineffective")) != 1 {
		t.Errorf("got the log %s, want a line for each variable", out.String())
	}
	if unknown[1] != "beyond the slice" {
		t.Errorf("got %q behind the slice of unknown variables, want it unchanged", unknown[1])
	}
}
