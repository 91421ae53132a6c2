package linkrewrite_test

import (
	"strings"
	"testing"

	"etrusted-broker/proxy/linkrewrite"
)

// escaped returns text with format applied to each byte.
func afterBackslash(text string, format func(byte) string) string {
	var out strings.Builder
	for i := range len(text) {
		out.WriteString(format(text[i]))
	}
	return out.String()
}

func unicodeEscape(c byte) string {
	return `\u00` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15])
}

func upperUnicodeEscape(c byte) string {
	return `\u00` + string("0123456789ABCDEF"[c>>4]) + string("0123456789ABCDEF"[c&15])
}

var (
	slashedFrom = strings.ReplaceAll(from, "/", `\/`)
	slashedTo   = strings.ReplaceAll(to, "/", `\/`)
	escapedFrom = afterBackslash(from, unicodeEscape)
)

// testBodies are JSON and the wanted result. An empty want means that nothing changes.
var testBodies = []struct{ name, body, want string }{
	{"nothing", ``, ``},
	{"the base", `"` + from + `"`, `"` + to + `"`},
	{"path", `{"next":"` + from + `/reviews?after=%2F\"x"}`, `{"next":"` + to + `/reviews?after=%2F\"x"}`},
	{"query", `["` + from + `?a=b"]`, `["` + to + `?a=b"]`},
	{"fragment", `["` + from + `#a"]`, `["` + to + `#a"]`},
	{"two in one string", `["` + from + `/?next=` + from + `/"]`, `["` + to + `/?next=` + from + `/"]`},

	{"slashes", `["` + slashedFrom + `\/a/b\/"]`, `["` + slashedTo + `\/a/b\/"]`},
	{"slashes, base only", `["` + slashedFrom + `"]`, `["` + slashedTo + `"]`},
	{"one slash", `["https:/\/api.etrusted.com/a"]`, `["` + slashedTo + `/a"]`},
	{"slash behind the base", `["` + from + `\/a"]`, `["` + to + `\/a"]`},
	{"escapes", `["` + escapedFrom + `"]`, `["` + to + `"]`},
	{"escapes in upper case", `["` + afterBackslash(from, upperUnicodeEscape) + `\u002Fa"]`, `["` + to + `\u002Fa"]`},
	{"escapes and a slash", `["` + strings.Replace(escapedFrom, `\u002f`, `\/`, 1) + `\u003f"]`, `["` + slashedTo + `\u003f"]`},
	{"escaped path", `["` + from + `\u002f"]`, `["` + to + `\u002f"]`},
	{"escaped query", `["` + from + `\u003F"]`, `["` + to + `\u003F"]`},
	{"escaped fragment", `["` + from + `\u0023"]`, `["` + to + `\u0023"]`},
	{"escaped quote behind it", `["` + from + `\u0022"]`, ``},
	{"short escaped quote behind it", `["` + from + `\""]`, ``},
	{"backslash behind it", `["` + from + `\\/"]`, ``},
	{"line feed behind it", `["` + from + `\n/"]`, ``},
	{"surrogate pair before it", `["\ud83d\ude00` + from + `"]`, ``},
	{"surrogate pair in it", `["https:\ud83d\ude00` + from[6:] + `"]`, ``},
	{"surrogate pair behind the path", `["` + from + `/\ud83d\ude00"]`, `["` + to + `/\ud83d\ude00"]`},
	{"surrogate pair behind it", `["` + from + `\ud83d\ude00"]`, ``},
	{"wide characters with the same low byte", `["` + strings.ReplaceAll(escapedFrom, `\u00`, `\u01`) + `"]`, ``},
	{"wide characters with the same low byte, higher", `["` + strings.ReplaceAll(escapedFrom, `\u00`, `\u10`) + `"]`, ``},

	{"other host", `["` + from + `.evil/"]`, ``},
	{"port", `["` + from + `:443/"]`, ``},
	{"user", `["` + from + `@evil.example/"]`, ``},
	{"longer", `["` + from + `x","` + from + `\u0078"]`, ``},
	{"before", `["x` + from + `/"," ` + from + `/"]`, ``},
	{"mention", `["see ` + from + `/reviews"]`, ``},
	{"quoted mention", `["\"` + from + `/","\\\"` + from + `/\"","\\` + from + `"]`, ``},
	{"shorter", `["` + from[:len(from)-1] + `","` + from[:len(from)-1] + `/","h"]`, ``},
	{"upper case", `["HTTPS://api.etrusted.com/"]`, ``},
	{"not secure", `["http://api.etrusted.com/"]`, ``},
	{"encoded", `["https:%2F%2Fapi.etrusted.com/"]`, ``},

	{"key", `{"` + from + `":"` + from + `"}`, `{"` + from + `":"` + to + `"}`},
	{"keys", `{"` + from + `/":1,"` + from + `":2,"` + slashedFrom + `":{"` + from + `":[]},"` + from + `":null}`, ``},
	{
		"keys between values", `{"a":["` + from + `",{"` + from + `":{}},"` + from + `"],"` + from + `":"` + from + `","` + from + `":0}`,
		`{"a":["` + to + `",{"` + from + `":{}},"` + to + `"],"` + from + `":"` + to + `","` + from + `":0}`,
	},
	{
		"array behind an object behind an array", `[[],"` + from + `",{},"` + from + `",{"a":[1,"` + from + `"],"` + from + `":1},"` + from + `"]`,
		`[[],"` + to + `",{},"` + to + `",{"a":[1,"` + to + `"],"` + from + `":1},"` + to + `"]`,
	},
	{"brackets in strings", `{"a":"]","` + from + `":"}[{,:","` + from + `":["{","` + from + `"]}`, `{"a":"]","` + from + `":"}[{,:","` + from + `":["{","` + to + `"]}`},
	{"ends with a backslash", `["\\","` + from + `","\\\"","` + from + `"]`, `["\\","` + to + `","\\\"","` + to + `"]`},
	{"long strings", `["12345678\"` + from + `","` + strings.Repeat("1234567\\\\", 9) + `","` + from + `"]`, `["12345678\"` + from + `","` + strings.Repeat("1234567\\\\", 9) + `","` + to + `"]`},

	{
		"blanks", " { \"a\" \t:\r\n \"" + from + "\" ,\n\"" + from + "\" : [ \"" + from + "\" , \"" + from + "\" ] }\n ",
		" { \"a\" \t:\r\n \"" + to + "\" ,\n\"" + from + "\" : [ \"" + to + "\" , \"" + to + "\" ] }\n ",
	},
	{"numbers and order", `{"z":1.0,"a":1e+400,"z":-0,"m":12345678901234567890,"t":[true,false,null],"l":"` + from + `"}`, `{"z":1.0,"a":1e+400,"z":-0,"m":12345678901234567890,"t":[true,false,null],"l":"` + to + `"}`},
	{"invalid UTF-8", "[\"\xff\xc0\",\"" + from + "/\xff\",\"" + from + "\xff\"]", "[\"\xff\xc0\",\"" + to + "/\xff\",\"" + from + "\xff\"]"},
	{"byte order mark", "\xef\xbb\xbf[\"" + from + "\"]", "\xef\xbb\xbf[\"" + to + "\"]"},
	{"lines", "{\"a\":\"" + from + "\"}\n{\"" + from + "\":1}\n\"" + from + "\"\n1\n[\"" + from + "\"]", "{\"a\":\"" + to + "\"}\n{\"" + from + "\":1}\n\"" + to + "\"\n1\n[\"" + to + "\"]"},
	{"values without blanks", `"` + from + `""` + from + `"{}"` + from + `"[]"` + from + `"`, `"` + to + `""` + to + `"{}"` + to + `"[]"` + to + `"`},
}

func TestRewritesJSON(t *testing.T) {
	for _, test := range testBodies {
		t.Run(test.name, func(t *testing.T) {
			want := test.want
			if want == "" {
				want = test.body
			}
			got, changed := linkrewrite.JSON([]byte(test.body), from, to)
			if string(got) != want || changed != (test.want != "") {
				t.Errorf("%v\n got %s\nwant %s", changed, got, want)
			}
			if plain, ok := reference([]byte(test.body), from, to); !ok || plain != want {
				t.Errorf("reference: got %s, want %s", plain, want)
			}
		})
	}
}

// TestRewritesAnyBase has unusual bases: the result must be JSON with the right values.
func TestRewritesAnyBase(t *testing.T) {
	for _, test := range []struct{ name, body, from, to, want string }{
		{"path", `["https://a/v1/x","https://a/v2/x","https://a"]`, "https://a/v1", "http://b/c", `["http://b/c/x","https://a/v2/x","https://a"]`},
		{"shorter", `["https://aaaa/x"]`, "https://aaaa", "/b", `["/b/x"]`},
		{"empty to", `["https://a/x"]`, "https://a", "", `["/x"]`},
		{"empty from", `["","/x","?","` + from + `"]`, "", "http://b", `["","/x","?","` + from + `"]`},
		{"to itself", `["https:\u002f/a"]`, "https://a", "https://a", `["https://a"]`},
		{"to what needs escapes", `["https://a","https:\/\/a"]`, "https://a", "b\"\\\x01\n\x1fä/", `["b\"\\\u0001\u000a\u001fä/","b\"\\\u0001\u000a\u001fä\/"]`},
		{"beyond ASCII", `["https://ä/","https://\u00e4/","https://\u00c3\u00a4/"]`, "https://ä", "http://b", `["http://b/","https://\u00e4/","https://\u00c3\u00a4/"]`},
		{"one character", `["a","\u0061/","b","","a\u005c/"]`, "a", "b", `["b","b/","b","","a\u005c/"]`},
		{"control characters are no digits", "[\"\\u002\x10\"]", " 0", "b", "[\"\\u002\x10\"]"},
		{"lower case digits", `["\u006b","\u004b","\u006B/"]`, "k", "z", `["z","\u004b","z/"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, changed := linkrewrite.JSON([]byte(test.body), test.from, test.to)
			if string(got) != test.want || changed != (test.body != test.want) {
				t.Errorf("%v\n got %s\nwant %s", changed, got, test.want)
			}
			checkAllSplits(t, test.body, test.from, test.to, test.want)
		})
	}
}

// TestInvalidJSONIsPreserved: of invalid JSON, only strings in the position of a value change.
func TestInvalidJSONIsPreserved(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"text", from + "/", from + "/"},
		{"HTML", "<a href='" + from + "/'>'" + from + "'</a>", "<a href='" + from + "/'>'" + from + "'</a>"},
		{"binary", "\x00\x01\xff\xfe\\\x80{\x00", "\x00\x01\xff\xfe\\\x80{\x00"},
		{"UTF-16", "\xfe\xff\x00\"\x00h\x00t\x00t\x00p\x00s", "\xfe\xff\x00\"\x00h\x00t\x00t\x00p\x00s"},
		{"cut off behind the base", `["` + from, `["` + from},
		{"cut off in the base", `["https:\/`, `["https:\/`},
		{"cut off in an escape", `["https:\u002`, `["https:\u002`},
		{"cut off in the escape behind the base", `["` + from + `\u00`, `["` + from + `\u00`},
		{"cut off behind a backslash", `["` + from + `\`, `["` + from + `\`},
		{"cut off in the path", `["` + from + `/a`, `["` + to + `/a`},
		{"cut off in the path, behind a backslash", `["` + from + `/\`, `["` + to + `/\`},
		{"cut off behind a quote", `["`, `["`},
		{"brackets that close nothing", `]}]"` + from + `"}["` + from + `"]`, `]}]"` + to + `"}["` + to + `"]`},
		{"a guard before it", `)]}',` + "\n" + `{"` + from + `":"` + from + `"}`, `)]}',` + "\n" + `{"` + from + `":"` + to + `"}`},
		{"a guard before a string", `)]}',"` + from + `"`, `)]}',"` + to + `"`},
		{"two strings", `["a" "` + from + `"]{"a" "` + from + `"}`, `["a" "` + from + `"]{"a" "` + from + `"}`},
		{"a string behind a bracket", `[[]"` + from + `",{}"` + from + `"]`, `[[]"` + from + `",{}"` + from + `"]`},
		{"the wrong bracket", `[{]"` + from + `"}`, `[{]"` + from + `"}`},
		{"invalid escapes", `["https:\x2f","\U0068` + from[1:] + `","\u0068\ttps://"]`, `["https:\x2f","\U0068` + from[1:] + `","\u0068\ttps://"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, _ := linkrewrite.JSON([]byte(test.body), from, to); string(got) != test.want {
				t.Errorf("\n got %q\nwant %q", got, test.want)
			}
			checkAllSplits(t, test.body, from, to, test.want)
		})
	}
}

// TestJSONDoesNotModifyInput: the input belongs to the caller, and is returned as is if there is no link.
func TestJSONDoesNotModifyInput(t *testing.T) {
	for _, body := range []string{`["a","b"]`, `["` + from + `","` + from + `"]`} {
		text := []byte(body)
		got, changed := linkrewrite.JSON(text, from, to)
		if string(text) != body {
			t.Errorf("input modified to %s", text)
		}
		if !changed && &got[0] != &text[0] {
			t.Error("got a copy, want the input itself")
		}
	}
	if got, changed := linkrewrite.JSON(nil, from, to); got != nil || changed {
		t.Errorf("nil input: got %v, %v, want nil, false", got, changed)
	}
	text := []byte(reviewPage(100_000, "without links"))
	if n := testing.AllocsPerRun(10, func() { linkrewrite.JSON(text, from, to) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
