package access

import (
	"iter"
	"maps"
	"net/http"
)

// Fields are the fields of a request's header. Names are in canonical form: see http.CanonicalHeaderKey.
type Fields interface {
	// Values returns the values of a field in their order; nil if there are none.
	Values(name string) []string
	// Names returns the names of all fields.
	Names() iter.Seq[string]
}

// HTTPFields are the Fields of a http.Header.
type HTTPFields http.Header

// Values implements Fields.
func (f HTTPFields) Values(name string) []string { return f[name] }

// Names implements Fields.
func (f HTTPFields) Names() iter.Seq[string] { return maps.Keys(f) }

// first returns the first value of a field; empty if there is none.
func first(fields Fields, name string) string {
	if values := fields.Values(name); len(values) > 0 {
		return values[0]
	}
	return ""
}
