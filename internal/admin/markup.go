package admin

import (
	"bytes"
	"fmt"
	"html"
	"strings"
)

// markup is HTML that is put on the page as it is. Only what is written as a constant in this package becomes markup by
// itself; a string that came from anywhere else does not, and the compiler sees to that.
//
// html/template would do for the page, and what it costs is too much for it: it calls methods by names that are known only
// when it runs, and so the linker must keep every exported method of every type in the program. That is 1.9 MB of 13.8, and
// as much resident memory in each sidecar, for a page that few of them ever show.
type markup string

// document is HTML that is being written.
type document struct{ bytes.Buffer }

// writef writes a form with one of the values in place of each {}. What is not markup is escaped, for text and for attributes in
// double quotes: a {} must stand in one or the other, and not where a URL, a script or a style is looked for.
//
// It panics if there are not as many values as {}, or they would stand in each other's places. How many there are is written in
// this package alone: no request can bring that about, and any test that has the form written sees it.
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

// attribute is one without a value: there, or not.
func attribute(name markup, there bool) markup {
	if !there {
		return ""
	}
	return " " + name
}

func hiddenUnless(shown bool) markup { return attribute("hidden", !shown) }
