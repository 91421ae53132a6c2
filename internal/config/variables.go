package config

import (
	"fmt"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"etrusted-broker/internal/spelling"
	"etrusted-broker/tokensource"
)

// Variable is an environment variable as Config declares it.
type Variable struct {
	Name, Fallback, Help string
	index                int    // of the field
	separator            string // of a list
	secret               bool
	guards               bool   // a misspelt name would leave something unprotected
	shape                string // of a text that may be shown: see shapes
}

// Variables returns all variables in the order of their declaration.
func Variables() []Variable { return slices.Clone(variables()) }

var variables = sync.OnceValue(func() []Variable { // reflection takes longer than all that is done with the result
	var all []Variable
	for field := range reflect.TypeFor[Config]().Fields() {
		if name := field.Tag.Get("env"); name != "" {
			all = append(all, Variable{
				Name:      name,
				Fallback:  field.Tag.Get("envDefault"),
				Help:      field.Tag.Get("help"),
				index:     field.Index[0],
				separator: field.Tag.Get("envSeparator"),
				shape:     field.Tag.Get("shape"),
				guards:    field.Tag.Get("guards") != "" || field.Type == reflect.TypeFor[tokensource.Secret](),
				secret:    field.Type == reflect.TypeFor[tokensource.Secret](),
			})
		}
	}
	return all
})

// SecretVariables returns the names of the variables that contain a secret.
func SecretVariables() []string {
	var names []string
	for _, v := range Variables() {
		if v.secret {
			names = append(names, v.Name)
		}
	}
	return names
}

// CredentialVariables returns the names of the variables that contain a secret, or the path of a file or directory: a program that
// must not know a secret needs none of them.
func CredentialVariables() []string {
	var names []string
	for _, v := range Variables() {
		if v.secret || v.shape == "path" {
			names = append(names, v.Name)
		}
	}
	return names
}

// injected matches the variables that Kubernetes sets for a Service named broker or etrusted, and Docker for a linked container:
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var injected = sync.OnceValue(func() *regexp.Regexp { // few environments contain any
	return regexp.MustCompile(`_SERVICE_(HOST|PORT(_.*)?)$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$|^[A-Z]+(_BROKER)?_(NAME$|ENV_)`)
})

// quotedVariables returns an error for each variable that has quotes around its value.
func quotedVariables(set map[string]string) (problems []Error) {
	for _, name := range append(StandardVariables(), names(Variables())...) {
		if isQuoted(set[name]) {
			problems = append(problems, Error{name, "has quotes around its value: remove them ('docker run --env-file' keeps them); a secret that has quotes goes into a file"})
		}
	}
	return problems
}

// misspeltProtections returns an error for each unknown variable that is one or two edits away from one without which something is
// unprotected: the broker would run, and everything would look well.
func misspeltProtections(set map[string]string) (problems []Error) {
	for _, name := range unknownNames(set) {
		if guard := misspeltGuard(name, set[name]); guard != "" {
			problems = append(problems, Error{name, "is not a variable of the broker; write " + guard + " instead, or unset it"})
		}
	}
	return problems
}

// misspeltGuard returns the guarding variable that an unknown name with that value misspells; empty if it does not.
func misspeltGuard(name, value string) string {
	guards := slices.DeleteFunc(Variables(), func(v Variable) bool { return !v.guards })
	if guard, edits := spelling.Nearest(name, names(guards)); value != "" && edits <= 2 {
		return guard
	}
	return ""
}

func names(variables []Variable) (all []string) {
	for _, v := range variables {
		all = append(all, v.Name)
	}
	return all
}

// unknownNames returns the names that look like the broker's variables, but are not, sorted.
func unknownNames(set map[string]string) (unknown []string) {
	known := names(Variables())
	for name := range set {
		if isBrokerVariable(name) && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// UnknownVariables returns a warning for each variable that looks like one of the broker's but is not, and that Load does not report
// as an error. The warnings contain names, never values.
func UnknownVariables(environ []string) []string {
	set := Environment(environ)
	var warnings []string
	for _, name := range unknownNames(set) {
		if misspeltGuard(name, set[name]) != "" {
			continue
		}
		nearest, _ := spelling.Nearest(name, names(Variables()))
		warnings = append(warnings, fmt.Sprintf("%s is not a variable of the broker and has no effect; did you mean %s?", name, nearest))
	}
	return warnings
}

// isBrokerVariable reports whether a name looks like that of a variable of the broker, and Kubernetes or Docker do not inject it.
func isBrokerVariable(name string) bool {
	return (strings.HasPrefix(name, "BROKER_") || strings.HasPrefix(name, "ETRUSTED_")) && !injected().MatchString(name)
}

// HasVariables reports whether an environment has a variable that looks like one of the broker's.
func HasVariables(environ []string) bool {
	return slices.ContainsFunc(environ, func(pair string) bool { return isBrokerVariable(strings.Split(pair, "=")[0]) })
}

// IgnoredVariables returns a warning for each variable that has no effect on this system.
func IgnoredVariables(environ []string) []string {
	if Environment(environ)["SSL_CERT_FILE"] == "" || runtime.GOOS != "windows" && runtime.GOOS != "darwin" {
		return nil
	}
	return []string{"SSL_CERT_FILE has no effect on Windows and macOS: import the CA into the certificate store of the system (Windows: certutil -addstore Root FILE)"}
}
