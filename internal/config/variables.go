package config

import (
	"fmt"
	"maps"
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
	shape                string // of a text that may be shown: see isSafeToShowByShape
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

// SecretVariableNames returns the names of the variables that contain a secret.
func SecretVariableNames() []string {
	return variableNames(func(v Variable) bool { return v.secret })
}

// SecretOrPathVariableNames returns the names of the variables that contain a secret, or the path of a file or directory: a program
// that must not know a secret needs none of them.
func SecretOrPathVariableNames() []string {
	return variableNames(func(v Variable) bool { return v.secret || v.shape == "path" })
}

// variableNames returns the names of the variables for which has is true.
func variableNames(has func(Variable) bool) (names []string) {
	for _, v := range variables() {
		if has(v) {
			names = append(names, v.Name)
		}
	}
	return names
}

func allVariableNames() []string { return variableNames(func(Variable) bool { return true }) }

// ProxyAndCAVariableNames returns the names of the variables that this program reads as most programs do.
func ProxyAndCAVariableNames() []string {
	return []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE"}
}

// isQuoted reports whether a value has quotes around it, as 'docker run --env-file' keeps them.
func isQuoted(value string) bool {
	return len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0]
}

// quotedValueErrors returns an error for each variable that has quotes around its value. They are part of no value.
func quotedValueErrors(set map[string]string) (problems []Error) {
	for _, name := range append(ProxyAndCAVariableNames(), allVariableNames()...) {
		if isQuoted(set[name]) {
			problems = append(problems, Error{name, "has quotes around its value: remove them ('docker run --env-file' keeps them); a secret that has quotes goes into a file"})
		}
	}
	return problems
}

// unknownVariables returns an error or a warning, sorted, for each variable that looks like the broker's but is not: an error if
// its name is one or two edits away from the name of a variable that protects something: the broker would run unprotected,
// unnoticed.
func unknownVariables(set map[string]string) (problems []Error, warnings []string) {
	known, guards := allVariableNames(), variableNames(func(v Variable) bool { return v.guards })
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !looksLikeBrokerVariable(name) || slices.Contains(known, name) {
			continue
		}
		if guard, edits := spelling.Nearest(name, guards); set[name] != "" && edits <= 2 {
			problems = append(problems, Error{name, "is not a variable of the broker; write " + guard + " instead, or unset it"})
			continue
		}
		nearest, _ := spelling.Nearest(name, known)
		warnings = append(warnings, fmt.Sprintf("%s is not a variable of the broker and has no effect; did you mean %s?", name, nearest))
	}
	return problems, warnings
}

// serviceLinkPattern matches the variables that Kubernetes sets for a Service named broker or etrusted, and Docker for a linked
// container: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var serviceLinkPattern = sync.OnceValue(func() *regexp.Regexp { // few environments contain any
	return regexp.MustCompile(`_SERVICE_(HOST|PORT(_.*)?)$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$|^[A-Z]+(_BROKER)?_(NAME$|ENV_)`)
})

// looksLikeBrokerVariable reports whether a name looks like the broker's, and Kubernetes or Docker do not inject it.
func looksLikeBrokerVariable(name string) bool {
	return (strings.HasPrefix(name, "BROKER_") || strings.HasPrefix(name, "ETRUSTED_")) && !serviceLinkPattern().MatchString(name)
}

// HasBrokerVariables reports whether an environment has a variable that looks like one of the broker's.
func HasBrokerVariables(environ []string) bool {
	return slices.ContainsFunc(environ, func(pair string) bool { return looksLikeBrokerVariable(strings.Split(pair, "=")[0]) })
}

// ineffectiveVariableWarnings returns a warning for each variable that has no effect on this system.
func ineffectiveVariableWarnings(environment map[string]string) []string {
	if environment["SSL_CERT_FILE"] == "" || runtime.GOOS != "windows" && runtime.GOOS != "darwin" {
		return nil
	}
	return []string{"SSL_CERT_FILE has no effect on Windows and macOS: import the CA into the certificate store of the system (Windows: certutil -addstore Root FILE)"}
}
