package linkrewrite_test

import (
	"strings"
	"testing"

	"etrusted-broker/proxy/linkrewrite"
)

// formatBytes returns text with format applied to each byte.
func formatBytes(text string, format func(byte) string) string {
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
	escapedFrom = formatBytes(from, unicodeEscape)
	wide        = strings.Repeat(" \n", 50)
)

// testBodies are JSON and the wanted result. An empty want means that nothing changes.
var testBodies = []struct{ name, body, want string }{
	{"nothing", ``, ``},
	{"the origin", `"` + from + `"`, `"` + to + `"`},
	{"path", `{"next":"` + from + `/reviews?after=%2F\"x"}`, `{"next":"` + to + `/reviews?after=%2F\"x"}`},
	{"query", `["` + from + `?a=b"]`, `["` + to + `?a=b"]`},
	{"fragment", `["` + from + `#a"]`, `["` + to + `#a"]`},
	{"two in one string", `["` + from + `/?next=` + from + `/"]`, `["` + to + `/?next=` + from + `/"]`},

	{"slashes", `["` + slashedFrom + `\/a/b\/"]`, `["` + slashedTo + `\/a/b\/"]`},
	{"slashes, origin only", `["` + slashedFrom + `"]`, `["` + slashedTo + `"]`},
	{"one slash", `["https:/\/api.etrusted.com/a"]`, `["` + slashedTo + `/a"]`},
	{"slash behind the origin", `["` + from + `\/a"]`, `["` + to + `\/a"]`},
	{"escapes", `["` + escapedFrom + `"]`, `["` + to + `"]`},
	{"escapes in upper case", `["` + formatBytes(from, upperUnicodeEscape) + `\u002Fa"]`, `["` + to + `\u002Fa"]`},
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
	{"default port", `["` + from + `:443/","` + from + `:443"]`, `["` + to + `/","` + to + `"]`},
	{"default port, escaped", `["` + from + `\u003a443","` + from + `:4\u00343\/"]`, `["` + to + `","` + to + `\/"]`},
	{"other port", `["` + from + `:8443/","` + from + `:4433/","` + from + `:44","` + from + `:","` + from + `:80"]`, ``},
	{"default port, other host", `["` + from + `:443.evil/","` + from + `:443@evil.example/"]`, ``},
	{"user", `["` + from + `@evil.example/"]`, ``},
	{"longer", `["` + from + `x","` + from + `\u0078"]`, ``},
	{"before", `["x` + from + `/"," ` + from + `/"]`, ``},
	{"mention", `["see ` + from + `/reviews"]`, ``},
	{"quoted mention", `["\"` + from + `/","\\\"` + from + `/\"","\\` + from + `"]`, ``},
	{"shorter", `["` + from[:len(from)-1] + `","` + from[:len(from)-1] + `/","h"]`, ``},
	{"upper case", `["HTTPS://API.ETRUSTED.COM/A","\u0048TTP:\/\/api.eTrusted.com","https://api.etrusted.co\u004d"]`, `["` + to + `/A","` + slashedTo + `","` + to + `"]`},
	{"letters that only Unicode folds", `["http\u017f://api.etrusted.com/","httpſ://api.etrusted.com/","https://api.etruſted.com"]`, ``},
	{"http", `["http://api.etrusted.com/","http://api.etrusted.com:80","http:\/\/api.etrusted.com"]`, `["` + to + `/","` + to + `","` + slashedTo + `"]`},
	{"http, other port", `["http://api.etrusted.com:443/"]`, ``},
	{"no scheme", `["//api.etrusted.com/a","\/\/api.etrusted.com:443","\u002f/api.etrusted.com?"]`, `["` + to + `/a","` + slashedTo + `","` + to + `?"]`},
	{"no scheme, other port", `["//api.etrusted.com:80/"]`, ``},
	{"no slashes", `["api.etrusted.com/","/api.etrusted.com/",":/api.etrusted.com/","https:/api.etrusted.com/","///api.etrusted.com/"]`, ``},
	{"other scheme", `["ftp://api.etrusted.com/","ttps://api.etrusted.com/","://api.etrusted.com/","xhttp://api.etrusted.com/"]`, ``},
	{"half a host", `["https://a","https://api.etrusted","//api/api.etrusted.com/"]`, ``},
	{"only the host is escaped", `["https://` + formatBytes("api.etrusted.com", unicodeEscape) + `/"]`, `["` + to + `/"]`},
	{"one escape", `["https:/\u002fapi.etrusted.com","https://a\u0070i.etrusted.com","https://api\u002eetrusted.com"]`, `["` + to + `","` + to + `","` + to + `"]`},
	{"other escapes", `["\u00fc\u00e4","\u0026\u0027","` + from + `/?a\u0026b\u003dc\u00df","\u0061"]`, `["\u00fc\u00e4","\u0026\u0027","` + to + `/?a\u0026b\u003dc\u00df","\u0061"]`},
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
	{
		"much white space", `[{"a":0,` + wide + `"` + from + `/a"` + wide + `:` + wide + `"` + from + `"},` + wide + `"` + from + `"` + wide + `,"` + from + `"` + wide + `]`,
		`[{"a":0,` + wide + `"` + from + `/a"` + wide + `:` + wide + `"` + to + `"},` + wide + `"` + to + `"` + wide + `,"` + to + `"` + wide + `]`,
	},
	{"escaped quotes in keys and values", `{"a":0,"` + from + `/\"\\":["` + from + `/\":","` + from + `/\\"]}`, `{"a":0,"` + from + `/\"\\":["` + to + `/\":","` + to + `/\\"]}`},
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
			got, changed := rewriter.JSON([]byte(test.body))
			if string(got) != want || changed != (test.want != "") {
				t.Errorf("%v\n got %s\nwant %s", changed, got, want)
			}
			if plain, ok := reference([]byte(test.body), from, to); !ok || plain != want {
				t.Errorf("reference: got %s, want %s", plain, want)
			}
		})
	}
}

func TestRewritesAnyOrigin(t *testing.T) {
	long := strings.Repeat("a.", 30) + "b"
	for _, test := range []struct{ name, body, from, to, want string }{
		{"port", `["https://a:8443/x","//A:8443","http://a:8443","https://a/","https://a:443"]`, "https://a:8443", to, `["` + to + `/x","` + to + `","` + to + `","https://a/","https://a:443"]`},
		{"named default port", `["https://a:443/x","//a","http://a:80","https://a:8443/"]`, "https://a:443", to, `["` + to + `/x","` + to + `","` + to + `","https://a:8443/"]`},
		{"http", `["http://a","https://a:443","//a:80","//a:443"]`, "http://a", to, `["` + to + `","` + to + `","` + to + `","//a:443"]`},
		{"upper case", `["https://API.example/"]`, "HTTPS://Api.Example", to, `["` + to + `/"]`},
		{"IPv4", `["http://127.0.0.1:9000/x","http://127.0.0.1:900","http://127.0.0.1"]`, "http://127.0.0.1:9000", to, `["` + to + `/x","http://127.0.0.1:900","http://127.0.0.1"]`},
		{"IPv6", `["https://[::1]/x","https:\/\/[::1]:443","https://[::1]:8443"]`, "https://[::1]", to, `["` + to + `/x","` + slashedTo + `","https://[::1]:8443"]`},
		{"IPv6 and port", `["https://[::1]/x","https://[::1]:8443"]`, "https://[::1]:8443", to, `["https://[::1]/x","` + to + `"]`},
		{"long", `["` + formatBytes("https://"+long+":443", unicodeEscape) + `\u002f"]`, "https://" + long, to, `["` + to + `\u002f"]`},
		{"to nothing", `["https://a/x"]`, "https://a", "", `["/x"]`},
		{"to itself", `["https:\u002f/a"]`, "https://a", "https://a", `["https://a"]`},
		{"to what needs escapes", `["https://a","https:\/\/a"]`, "https://a", "b\"\\\x01\n\x1fä/", `["b\"\\\u0001\n\u001fä/","b\"\\\u0001\n\u001fä\/"]`},
		{"control characters are no digits", "[\"\\u002\x10/a\"]", "https://a", to, "[\"\\u002\x10/a\"]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := linkrewrite.NewOrigin(test.from).To(test.to)
			got, changed := r.JSON([]byte(test.body))
			if string(got) != test.want || changed != (test.body != test.want) {
				t.Errorf("%v\n got %s\nwant %s", changed, got, test.want)
			}
			checkAllSplits(t, r, test.body, test.want)
		})
	}
}

// TestInvalidJSONIsPreserved: of invalid JSON, only the origin at the start of a string changes.
func TestInvalidJSONIsPreserved(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"text", from + "/", from + "/"},
		{"HTML", "<a href='" + from + "/'>'" + from + "'</a>", "<a href='" + from + "/'>'" + from + "'</a>"},
		{"binary", "\x00\x01\xff\xfe\\\x80{\x00", "\x00\x01\xff\xfe\\\x80{\x00"},
		{"UTF-16", "\xfe\xff\x00\"\x00h\x00t\x00t\x00p\x00s", "\xfe\xff\x00\"\x00h\x00t\x00t\x00p\x00s"},
		{"cut off behind the origin", `["` + from, `["` + from},
		{"cut off in the origin", `["https:\/`, `["https:\/`},
		{"cut off in an escape", `["https:\u002`, `["https:\u002`},
		{"cut off in the escape behind the origin", `["` + from + `\u00`, `["` + from + `\u00`},
		{"cut off behind a backslash", `["` + from + `\`, `["` + from + `\`},
		{"cut off in the path", `["` + from + `/a`, `["` + to + `/a`},
		{"cut off in the path, behind a backslash", `["` + from + `/\`, `["` + to + `/\`},
		{"cut off behind a quote", `["`, `["`},
		{"brackets that close nothing", `]}]"` + from + `"}["` + from + `"]`, `]}]"` + to + `"}["` + to + `"]`},
		{"a guard before it", `)]}',` + "\n" + `{"` + from + `":"` + from + `"}`, `)]}',` + "\n" + `{"` + from + `":"` + to + `"}`},
		{"a guard before a string", `)]}',"` + from + `"`, `)]}',"` + to + `"`},
		{"two strings", `["a" "` + from + `"]{"a" "` + from + `"}`, `["a" "` + to + `"]{"a" "` + to + `"}`},
		{"a string behind a bracket", `[[]"` + from + `",{}"` + from + `"]`, `[[]"` + to + `",{}"` + to + `"]`},
		{"the wrong bracket", `[{]"` + from + `"}`, `[{]"` + to + `"}`},
		{"a key without a colon", `{"` + from + `"}`, `{"` + from + `"}`},
		{"invalid escapes", `["https:\x2f","\U0068` + from[1:] + `","\u0068\ttps://"]`, `["https:\x2f","\U0068` + from[1:] + `","\u0068\ttps://"]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, _ := rewriter.JSON([]byte(test.body)); string(got) != test.want {
				t.Errorf("\n got %q\nwant %q", got, test.want)
			}
			checkAllSplits(t, rewriter, test.body, test.want)
		})
	}
}

// TestJSONDoesNotModifyInput: the input belongs to the caller, and is returned as is if there is no link.
func TestJSONDoesNotModifyInput(t *testing.T) {
	for _, body := range []string{`["a","b"]`, `["` + from + `","` + from + `"]`} {
		text := []byte(body)
		got, changed := rewriter.JSON(text)
		if string(text) != body {
			t.Errorf("input modified to %s", text)
		}
		if !changed && &got[0] != &text[0] {
			t.Error("got a copy, want the input itself")
		}
	}
	if got, changed := rewriter.JSON(nil); got != nil || changed {
		t.Errorf("nil input: got %v, %v, want nil, false", got, changed)
	}
	text := apiResponse(100_000, 0)
	if n := testing.AllocsPerRun(10, func() { rewriter.JSON(text) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
