package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// licenceTexts returns the licences and notices of all modules on all platforms, as one text.
func licenceTexts() ([]byte, error) {
	modules, err := linked(platforms)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("etrusted-broker contains the following software, each with its licence and, if it has any, its notices.\n")
	for _, m := range modules {
		expression, err := m.licence()
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "\n%s\n%s %s\nLicence: %s\n", strings.Repeat("=", 80), m.path, m.version, expression)
		for _, file := range m.files {
			text, name, err := m.read(file)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&out, "\n---- %s\n\n%s\n", name, strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")))
		}
	}
	return out.Bytes(), nil
}

// read returns the text of a file, and its name relative to the module.
func (m module) read(file string) (text, name string, err error) {
	name, err = filepath.Rel(m.root, file)
	if err != nil {
		return "", "", err
	}
	content, err := os.ReadFile(file) //nolint:gosec // a file of the module cache
	return string(content), filepath.ToSlash(name), err
}

// licence returns the SPDX expression of the module's licences. It fails without a licence, and for one that it does not know.
func (m module) licence() (string, error) {
	var all []string
	for _, file := range m.files {
		text, name, err := m.read(file)
		if err != nil {
			return "", err
		}
		if base := strings.ToUpper(filepath.Base(name)); strings.HasPrefix(base, "NOTICE") || strings.HasPrefix(base, "PATENTS") {
			continue
		}
		id := identify(text)
		if id == "" {
			return "", fmt.Errorf("%s %s: the licence in %s is unknown: add it to identify, or do without the module", m.path, m.version, name)
		}
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	if len(all) == 0 {
		return "", fmt.Errorf("%s %s has no licence: do without the module", m.path, m.version)
	}
	slices.Sort(all)
	return strings.Join(all, " AND "), nil
}

// identify returns the SPDX identifier of a licence; "" if it is unknown.
func identify(text string) string {
	text = strings.Join(strings.Fields(text), " ") // lines break anywhere
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case has("Apache License Version 2.0, January 2004"):
		return "Apache-2.0"
	case has("Permission is hereby granted, free of charge, to any person obtaining a copy"):
		return "MIT"
	case has("Redistributions in binary form must reproduce") && has("Neither the name of"):
		return "BSD-3-Clause"
	case has("Redistributions in binary form must reproduce"):
		return "BSD-2-Clause"
	case has("Permission to use, copy, modify, and/or distribute this software for any purpose"):
		return "ISC"
	}
	return ""
}
