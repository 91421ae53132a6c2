package linkrewrite_test

import "testing"

func TestRewritesURL(t *testing.T) {
	for text, want := range map[string]string{
		from:                             to,
		from + "/":                       to + "/",
		from + "/a?b=" + from:            to + "/a?b=" + from,
		from + "?a":                      to + "?a",
		from + "#a":                      to + "#a",
		"":                               "",
		"/a":                             "/a",
		from + ".evil/":                  from + ".evil/",
		from + ":443/":                   to + "/",
		from + ":443":                    to,
		from + ":8443/":                  from + ":8443/",
		from + ":443.evil/":              from + ":443.evil/",
		from + ":443\"":                  from + ":443\"",
		"//api.etrusted.com/a":           to + "/a",
		"http://api.etrusted.com":        to,
		"http://api.etrusted.com:80/":    to + "/",
		"http://api.etrusted.com:443/":   "http://api.etrusted.com:443/",
		"HTTPS://Api.eTrusted.COM/A":     to + "/A",
		"http\u017f://api.etrusted.com/": "http\u017f://api.etrusted.com/",
		"ftp://api.etrusted.com/":        "ftp://api.etrusted.com/",
		from + "@evil.example/":          from + "@evil.example/",
		from + `\/`:                      from + `\/`,
		" " + from:                       " " + from,
		from[:len(from)-1] + "/":         from[:len(from)-1] + "/",
	} {
		if got, changed := rewriter.URL(text); got != want || changed != (want != text) {
			t.Errorf("%q: got %q, %v, want %q", text, got, changed, want)
		}
	}
}

func TestRewritesLinkField(t *testing.T) {
	const a, b = "<" + from + "/a>", "<" + to + "/a>"
	for value, want := range map[string]string{
		a:                            b,
		a + `; rel="next"`:           b + `; rel="next"`,
		a + `; rel=next, ` + a + "":  b + `; rel=next, ` + b,
		"<" + from + ">," + a:        "<" + to + ">," + b,
		"<" + from + "?a>, </b>":     "<" + to + "?a>, </b>",
		"<//API.etrusted.com:443/>":  "<" + to + "/>",
		`</x>; rel="p", ` + a + " ;": `</x>; rel="p", ` + b + " ;",

		// Quoted parameters are text.
		`</x>; title="` + a + `", ` + a:              `</x>; title="` + a + `", ` + b,
		`</x>; title="a\"` + a + `", ` + a:           `</x>; title="a\"` + a + `", ` + b,
		`</x>; title="\\", ` + a:                     `</x>; title="\\", ` + b,
		`</x>; anchor="` + from + `/", <">; r, ` + a: `</x>; anchor="` + from + `/", <">; r, ` + b,

		// Other values.
		"":                                       "",
		"<>":                                     "<>",
		from:                                     from,
		"<" + from + ".evil/>":                   "<" + from + ".evil/>",
		"< " + from + "/>":                       "< " + from + "/>",
		"<https://other.example/?" + from + "/>": "<https://other.example/?" + from + "/>",

		// Invalid values.
		"<" + from + "/":          "<" + from + "/",
		a + ", <" + from:          b + ", <" + from,
		`</x>; title="` + a:       `</x>; title="` + a,
		`</x>; title="` + a + `\`: `</x>; title="` + a + `\`,
		a + `; title="`:           b + `; title="`,
	} {
		if got, changed := rewriter.LinkField(value); got != want || changed != (want != value) {
			t.Errorf("%s: %v\n got %s\nwant %s", value, changed, got, want)
		}
	}
}
