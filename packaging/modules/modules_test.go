package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sections splits the text of all licences by module.
func sections(t *testing.T) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "licences")
	if err := run([]string{"licences", file}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for part := range strings.SplitSeq(string(text), "\n"+strings.Repeat("=", 80)+"\n") {
		name, rest, _ := strings.Cut(part, "\n")
		found[name] = rest
	}
	return found
}

func TestEveryLinkedModuleHasItsLicence(t *testing.T) {
	t.Parallel()
	all := sections(t)
	for _, platform := range []string{"linux", "darwin", "windows"} {
		command := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", program)
		command.Env = append(os.Environ(), "GOOS="+platform)
		output, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		modules := strings.Split(strings.TrimSpace(string(output)), "\n")
		if len(modules) < 10 {
			t.Errorf("%s: got %d packages of other modules, want more", platform, len(modules))
		}
		for _, name := range modules {
			if name != "" && identify(all[name]) == "" {
				t.Errorf("%s: %s: got no licence that is known, want its text", platform, name)
			}
		}
	}
	// The Apache licence requires that notices are passed on, and a part of a module has its own licence.
	for module, parts := range map[string][]string{
		"github.com/prometheus/client_golang": {"---- NOTICE\n", "---- internal/github.com/golang/gddo/LICENSE\n"},
		"golang.org/x/net":                    {"---- PATENTS\n"},
		stdlib:                                {"---- LICENSE\n"},
	} {
		var text string
		for name := range all {
			if path, _, _ := strings.Cut(name, " "); path == module {
				text = all[name]
			}
		}
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s: got no %q, want it", module, part)
			}
		}
	}
}

func TestRefusesModulesWithoutAKnownLicence(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if got, err := (module{path: "example.com/none", root: root}).licence(); err == nil {
		t.Errorf("no licence: got %q, want an error", got)
	}
	file := filepath.Join(root, "LICENSE")
	if err := os.WriteFile(file, []byte("All rights reserved."), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := (module{path: "example.com/unknown", root: root, files: []string{file}}).licence(); err == nil {
		t.Errorf("an unknown licence: got %q, want an error", got)
	}
}

func TestBillOfMaterialsNamesLicences(t *testing.T) {
	t.Parallel()
	broker := filepath.Join(t.TempDir(), "broker")
	if output, err := exec.Command("go", "build", "-o", broker, program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	text, err := billOfMaterials(broker, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	var b bill
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	if got := b.Metadata.Component; got.Version != "1.2.3" || got.Licences[0].Licence.ID != "Apache-2.0" {
		t.Errorf("got the component %+v, want version 1.2.3 and Apache-2.0", got)
	}
	for name, want := range map[string]licence{
		"go.uber.org/zap":                     {Licence: &licenceID{"MIT"}},
		"github.com/prometheus/client_golang": {Expression: "Apache-2.0 AND BSD-3-Clause"},
		stdlib:                                {Licence: &licenceID{"BSD-3-Clause"}},
	} {
		for _, c := range b.Components {
			if c.Name != name {
				continue
			}
			got := c.Licences[0]
			if got.Expression != want.Expression || got.Licence != nil && *got.Licence != *want.Licence {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
			name = ""
		}
		if name != "" {
			t.Errorf("got no component %s, want one", name)
		}
	}
}

// A bill of another revision would be wrong.
func TestBillOfMaterialsRefusesAnotherProgram(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := billOfMaterials(self, "1.2.3"); err == nil {
		t.Errorf("this test's program: got %s, want an error", got)
	}
}
