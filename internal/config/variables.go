package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"etrusted-broker/tokensource"
)

// Variable is an environment variable as Config declares it.
type Variable struct {
	Name, Fallback, Help string
	index                int    // of the field
	separator            string // of a list
	secret               bool
	shape                string // of a text that may be shown: see shapes
}

// Variables returns all variables in the order of their declaration.
func Variables() []Variable {
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
				secret:    field.Type == reflect.TypeFor[tokensource.Secret](),
			})
		}
	}
	return all
}

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

// kubernetesService matches the variables that Kubernetes sets for a Service named broker or etrusted:
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var kubernetesService = sync.OnceValue(func() *regexp.Regexp { // few environments contain any
	return regexp.MustCompile(`_SERVICE_(HOST|PORT(_.*)?)$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)
})

// UnknownVariables returns a warning for each variable that looks like one of the broker's but is not: a misspelt name would
// otherwise silently leave something unprotected. The warnings contain names, never values.
func UnknownVariables(environ []string) []string {
	known := make([]string, 0, 32)
	for _, v := range Variables() {
		known = append(known, v.Name)
	}
	var warnings []string
	for name := range Environment(environ) {
		ours := strings.HasPrefix(name, "BROKER_") || strings.HasPrefix(name, "ETRUSTED_")
		if !ours || slices.Contains(known, name) || kubernetesService().MatchString(name) {
			continue
		}
		warnings = append(warnings, fmt.Sprintf("%s is not a variable of the broker and has no effect; did you mean %s?", name, closestName(name, known)))
	}
	slices.Sort(warnings)
	return warnings
}

// closestName returns the candidate with the smallest edit distance from name.
func closestName(name string, candidates []string) string {
	return slices.MinFunc(candidates, func(a, b string) int {
		return editDistance(name, a) - editDistance(name, b)
	})
}

// editDistance is the Levenshtein distance of two strings of ASCII.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
