package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"strings"
)

// bill is a software bill of materials in the format CycloneDX 1.6.
type bill struct {
	Format   string `json:"bomFormat"`
	Version  string `json:"specVersion"`
	Document int    `json:"version"`
	Metadata struct {
		Component component `json:"component"`
	} `json:"metadata"`
	Components []component `json:"components"`
}

type component struct {
	Type     string    `json:"type"`
	Ref      string    `json:"bom-ref"`
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Licences []licence `json:"licenses"`
	URL      string    `json:"purl"`
}

// licence is one SPDX identifier, or an expression of several.
type licence struct {
	Licence    *licenceID `json:"license,omitempty"`
	Expression string     `json:"expression,omitempty"`
}

type licenceID struct {
	ID string `json:"id"`
}

func newComponent(kind, name, version, expression string) component {
	url := "pkg:golang/" + name + "@" + version
	l := licence{Licence: &licenceID{expression}}
	if strings.Contains(expression, " ") {
		l = licence{Expression: expression}
	}
	return component{kind, url, name, version, []licence{l}, url}
}

// billOfMaterials describes the modules that a program says are linked into it. That is more accurate than a scan of the source.
// version is that of the program.
func billOfMaterials(program, version string) ([]byte, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	modules, err := linked([]string{settings["GOOS"] + "/" + settings["GOARCH"]})
	if err != nil {
		return nil, err
	}
	versions := map[string]string{stdlib: strings.TrimPrefix(info.GoVersion, "go")}
	for _, dependency := range info.Deps {
		versions[dependency.Path] = dependency.Version
	}
	b := bill{Format: "CycloneDX", Version: "1.6", Document: 1}
	b.Metadata.Component = newComponent("application", info.Main.Path, version, "Apache-2.0")
	for _, m := range modules {
		if versions[m.path] != m.version {
			return nil, fmt.Errorf("%s: the program contains version %q, this source %q", m.path, versions[m.path], m.version)
		}
		expression, err := m.licence()
		if err != nil {
			return nil, err
		}
		b.Components = append(b.Components, newComponent("library", m.path, m.version, expression))
	}
	if len(modules) != len(versions) {
		return nil, fmt.Errorf("the program contains %d modules, this source %d", len(versions), len(modules))
	}
	text, err := json.MarshalIndent(b, "", "  ")
	return append(text, '\n'), err
}
