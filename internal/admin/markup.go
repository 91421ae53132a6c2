package admin

import (
	"bytes"
	"fmt"
	"html"
	"strings"
)

// markup is trusted HTML, written to the page unescaped. Only constants of this package become markup implicitly; for other
// strings, the compiler requires a conversion.
//
// html/template would also do, but it calls methods by name at run time, so the linker must keep every exported method of
// every type in the program: 1.9 of 13.8 MB, and as much resident memory in each sidecar.
type markup string

// document is HTML under construction.
type document struct{ bytes.Buffer }

// writef writes form with the values in place of each {}. It escapes values that are not markup, for text and for attributes
// in double quotes: a {} must be in one of these, and not in a URL, script or style.
//
// It panics if the number of values differs from the number of {}. Both are constants of this package, so no request can
// cause this, and any test that writes the form detects it.
func (d *document) writef(form markup, values ...any) {
	if places := strings.Count(string(form), "{}"); places != len(values) {
		panic(fmt.Sprintf("admin: %d values for the %d places of %q", len(values), places, form))
	}
	rest := string(form)
	for _, value := range values {
		before, after, _ := strings.Cut(rest, "{}")
		d.WriteString(before)
		if trusted, isMarkup := value.(markup); isMarkup {
			d.WriteString(string(trusted))
		} else {
			d.WriteString(html.EscapeString(fmt.Sprint(value)))
		}
		rest = after
	}
	d.WriteString(rest)
}

// attribute returns a boolean attribute, or nothing.
func attribute(name markup, present bool) markup {
	if !present {
		return ""
	}
	return " " + name
}

func hiddenUnless(shown bool) markup { return attribute("hidden", !shown) }
