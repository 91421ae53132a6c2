package access

import "net/http"

// Fields are the fields of a request's header. Names are in canonical form: see http.CanonicalHeaderKey.
type Fields interface {
	// Values returns the values of a field in their order; nil if the field is missing.
	Values(name string) []string
	// AnyName reports whether the name of any field matches.
	AnyName(matches func(name string) bool) bool
}

// HTTPFields are the Fields of a http.Header.
type HTTPFields http.Header

// Values implements Fields.
func (f HTTPFields) Values(name string) []string { return f[name] }

// AnyName implements Fields.
func (f HTTPFields) AnyName(matches func(name string) bool) bool {
	for name := range f {
		if matches(name) {
			return true
		}
	}
	return false
}

// first returns the first value of a field; empty if the field is missing.
func first(fields Fields, name string) string {
	if values := fields.Values(name); len(values) > 0 {
		return values[0]
	}
	return ""
}
