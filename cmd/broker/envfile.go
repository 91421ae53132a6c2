package main

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"etrusted-broker/internal/config"
)

// splitCommandOrServe returns the name of the command, serve without one, and its arguments. The flag -env-file may be before the
// name.
func splitCommandOrServe(args []string) (command string, otherArgs []string) {
	at := 0
	for at < len(args) && slices.Contains([]string{"-env-file", "--env-file"}, strings.Split(args[at], "=")[0]) {
		if !strings.Contains(args[at], "=") {
			at++
		}
		at++
	}
	if at >= len(args) {
		return "serve", args
	}
	return args[at], slices.Delete(slices.Clone(args), at, at+1)
}

// addEnvFileFlag adds the flag that every command has.
func (i *invocation) addEnvFileFlag(flags *flag.FlagSet) {
	flags.Func("env-file", "read variables from this `file` first, in the syntax of systemd's EnvironmentFile=; they replace those of the environment", func(path string) error {
		i.envFiles = append(i.envFiles, path)
		return nil
	})
}

// readEnvFiles adds the variables in the files that -env-file names. As in systemd, they replace those of the environment.
func (i *invocation) readEnvFiles() error {
	for _, path := range i.envFiles {
		variables, err := config.ReadEnvFile(path)
		if err != nil {
			return err
		}
		i.addVariables(variables, path)
	}
	return nil
}

// addVariables adds variables from a file to the environment. Of several values, the last one counts.
func (i *invocation) addVariables(variables []string, file string) {
	i.environ = append(slices.Clone(i.environ), variables...)
	if i.sources == nil {
		i.sources = map[string]string{}
	}
	for _, pair := range variables {
		name, value, _ := strings.Cut(pair, "=")
		i.sources[name] = file
		if slices.Contains(config.ProxyAndCAVariableNames(), name) {
			_ = os.Setenv(name, value) // packages net/http and crypto/x509 read them from the process; these names are valid
		}
	}
}

// nameSources names the files of variables in settings whose values are from one.
func (i *invocation) nameSources(settings []config.DisplayableSetting) {
	for n, setting := range settings {
		if file := i.sources[setting.Name]; file != "" && setting.Source == "environment" {
			settings[n].Source = file
		}
	}
}

// packageConfigDir is where the deb and the rpm keep settings and credentials.
const packageConfigDir = "/etc/etrusted-broker"

// addPackageVariables adds the variables of the package's service, unless there are other variables of the broker, or files of
// them, or no package. Usually only root may read the directory.
func (i *invocation) addPackageVariables(dir string) (used bool, _ error) {
	// On Windows, where the package does not exist, every user may create the directory on the current drive.
	if len(i.envFiles) > 0 || config.HasBrokerVariables(i.environ) || !filepath.IsAbs(dir) {
		return false, nil
	}
	if _, err := os.Stat(dir); err != nil {
		return false, nil
	}
	settings := filepath.Join(dir, "broker.env")
	variables, err := config.ReadEnvFile(settings)
	if _, statErr := os.Stat(settings); err != nil && !errors.Is(statErr, fs.ErrNotExist) { // the unit does not need it
		return false, err
	}
	i.addVariables([]string{
		"ETRUSTED_CLIENT_ID_FILE=" + filepath.Join(dir, "client_id"),
		"ETRUSTED_CLIENT_SECRET_FILE=" + filepath.Join(dir, "client_secret"),
	}, dir)
	i.addVariables(variables, settings)
	return true, nil
}

// announcePackageVariables is addPackageVariables for commands that show or test the settings: it says so. It prints its error.
func (i *invocation) announcePackageVariables() error {
	used, err := i.addPackageVariables(packageConfigDir)
	switch {
	case err != nil:
		printLine(i.stderr, "%s: %v", i.program, err)
		return exitError{code: exitUsageOrConfig}
	case used:
		printLine(i.stderr, "%s: no variable of the broker is set, so this uses those of the service: broker.env, client_id and client_secret in %s; after a correction: systemctl restart etrusted-broker", i.program, packageConfigDir)
	}
	return nil
}
