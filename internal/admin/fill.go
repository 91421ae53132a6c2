package admin

import (
	"fmt"
	"html"
	"regexp"
	"strings"
)

// values is /status.json, or an account in it, as the page's script sees it.
type values map[string]any

var (
	// dynamic matches what fill replaces: the start tag of an element that shows a value, or a place for other HTML.
	dynamic = regexp.MustCompile(`<[^<>]* data-(?:text|set|show|open)="[^<>]*>|<!--\w+-->`)
	binding = regexp.MustCompile(` data-(text|set|show|open)="([^"]*)"`)
)

// fill returns form with the values that its elements name, as page.js sets them: data-text is the element's text, data-set
// its attributes, and data-show says whether it is visible. data-open opens a <details>, which only the reader changes later.
// <!--NAME--> becomes parts[NAME].
//
// form and parts are trusted, and values are escaped. html/template would also do, but it calls methods by name at run time,
// so the linker must keep every exported method of every type in the program: 1.9 of 13.8 MB, and as much resident memory
// in each sidecar.
func (v values) fill(form string, parts map[string]string) string {
	return dynamic.ReplaceAllStringFunc(form, func(found string) string {
		if place, ok := strings.CutPrefix(found, "<!--"); ok {
			return parts[strings.TrimSuffix(place, "-->")]
		}
		tag, text := strings.TrimSuffix(found, ">"), ""
		for _, bound := range binding.FindAllStringSubmatch(found, -1) {
			switch kind, path := bound[1], bound[2]; {
			case kind == "text":
				text = v.text(path)
			case kind == "set":
				for pair := range strings.FieldsSeq(path) {
					name, path, _ := strings.Cut(pair, "=")
					tag += fmt.Sprintf(` %s="%s"`, name, v.text(path))
				}
			case kind == "show" && !v.isTruthy(path):
				tag += " hidden"
			case kind == "open" && v.isTruthy(path):
				tag += " open"
			}
		}
		return tag + ">" + text
	})
}

// text returns a value, escaped for text and for attributes in double quotes. An absent value is empty.
func (v values) text(path string) string {
	var at any = map[string]any(v)
	for name := range strings.SplitSeq(path, ".") {
		object, _ := at.(map[string]any)
		if at = object[name]; at == nil {
			return ""
		}
	}
	return html.EscapeString(fmt.Sprint(at))
}

// isTruthy reports what Boolean(value) is in JavaScript.
func (v values) isTruthy(path string) bool {
	text := v.text(path)
	return text != "" && text != "0" && text != "false"
}
