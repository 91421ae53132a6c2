package http1

import (
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Field is a field line: RFC 9110 section 5.
type Field struct {
	Name  string // in the case in which it arrived
	Value string // without whitespace around it
}

// Fields are the field lines of a header or trailer section, in the order in which they arrived. Names are compared in any case.
type Fields []Field

// Has reports whether there is a field.
func (f Fields) Has(name string) bool {
	for range f.Lines(name) {
		return true
	}
	return false
}

// Get returns the value of the first line of a field; empty if the field is missing.
func (f Fields) Get(name string) string {
	for value := range f.Lines(name) {
		return value
	}
	return ""
}

// Lines returns the values of the lines of a field.
func (f Fields) Lines(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range f {
			if EqualFold(f[i].Name, name) && !yield(f[i].Value) {
				return
			}
		}
	}
}

// Elements returns the elements of a list (RFC 9110 section 5.6.1) in all its lines, but no empty ones. It knows no quoted strings.
func (f Fields) Elements(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range f.Lines(name) {
			for element := range strings.SplitSeq(line, ",") {
				if element = trimOWS(element); element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// Add appends a field line.
func (f *Fields) Add(name, value string) { *f = append(*f, Field{name, value}) }

// Set replaces the first line of a field in its place, or else appends it, and removes the field's other lines.
func (f *Fields) Set(name, value string) {
	for i := range *f {
		if EqualFold((*f)[i].Name, name) {
			(*f)[i].Value = value
			others := (*f)[i+1:]
			others.Delete(name)
			*f = (*f)[:i+1+len(others)]
			return
		}
	}
	f.Add(name, value)
}

// Delete removes all lines of a field.
func (f *Fields) Delete(name string) {
	f.DeleteFunc(func(field Field) bool { return EqualFold(field.Name, name) })
}

// DeleteFunc removes all lines for which del returns true.
func (f *Fields) DeleteFunc(del func(Field) bool) {
	kept := (*f)[:0]
	for _, field := range *f { // with slices.DeleteFunc, del would be allocated
		if !del(field) {
			kept = append(kept, field)
		}
	}
	*f = kept
}

// Reuse returns an empty slice with the memory of f, unless that is large. It keeps no strings.
func (f Fields) Reuse() Fields {
	const maxKept = 64
	if cap(f) > maxKept {
		return nil
	}
	clear(f[:cap(f)])
	return f[:0]
}

// FieldsOf returns the fields of a header of net/http, sorted by name.
func FieldsOf(header http.Header) (fields Fields) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			fields.Add(name, value)
		}
	}
	return fields
}

// EqualFold compares field names in any case. Names are ASCII. Characters that fold to ASCII letters, such as the Kelvin sign, are
// longer, so the comparison of lengths excludes them.
func EqualFold(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }
