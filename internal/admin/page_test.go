package admin_test

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

// element is an HTML element of the page, with its text.
type element struct {
	name string
	attr map[string]string
	text string
}

// elements parses the page, leniently, because we write the HTML ourselves.
func elements(t *testing.T, page string) []*element {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(page))
	decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var all, open []*element
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			one := &element{name: token.Name.Local, attr: map[string]string{}}
			for _, attr := range token.Attr {
				one.attr[attr.Name.Local] = attr.Value
			}
			all, open = append(all, one), append(open, one)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			for _, one := range open[max(0, len(open)-3):] { // deep enough for the texts that the tests need
				one.text += string(token)
			}
		}
	}
}

func byName(all []*element, name string) []*element {
	return slices.DeleteFunc(slices.Clone(all), func(one *element) bool { return one.name != name })
}

func file(path string) string { return ask(handler(false), "GET", path).Body.String() }

// TestPageIsStatic: Go makes no markup, so no text from elsewhere can become any.
func TestPageIsStatic(t *testing.T) {
	t.Parallel()
	hostile := failed("<script>", "<script>alert(1)</script>")
	for _, path := range []string{"/", "/page.js", "/page.css", "/icon.svg"} {
		h := admin.New(config(hostile))
		h.ObserveFailedRequest(admin.FailedRequest{Method: "GET", Path: "/<img>", Status: 404})
		if got, want := ask(h, "GET", path).Body.String(), file(path); got != want {
			t.Errorf("%s: got %q, want the same as without accounts", path, got)
		}
	}
}

// TestScriptNeverParsesMarkup: the page shows paths of requests, which anyone may have chosen.
func TestScriptNeverParsesMarkup(t *testing.T) {
	t.Parallel()
	for _, api := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "createContextualFragment", "DOMParser", "document.write", "eval", "new Function", "srcdoc"} {
		if strings.Contains(file("/page.js"), api) {
			t.Errorf("page.js has %s, which can turn text into markup", api)
		}
	}
}

// TestScriptUsesExistingNames: every name of /status.json that page.js uses exists.
func TestScriptUsesExistingNames(t *testing.T) {
	t.Parallel()
	for object, described := range map[string]reflect.Type{
		"status": reflect.TypeFor[admin.Status](), "account": reflect.TypeFor[admin.Account](), "failure": reflect.TypeFor[admin.FailedRequest](),
		"setting": reflect.TypeFor[admin.Setting](), "component": reflect.TypeFor[admin.Component](),
	} {
		names := regexp.MustCompile(`\b`+object+`\.(\w+)`).FindAllStringSubmatch(strings.ReplaceAll(file("/page.js"), "status.json", ""), -1)
		if len(names) == 0 {
			t.Errorf("page.js uses no name of %s, want some", object)
		}
		for _, name := range names {
			if !slices.Contains(jsonNames(described), name[1]) {
				t.Errorf("page.js uses %s, which is not in /status.json", name[0])
			}
		}
	}
}

// TestScriptHasEveryLabel: the page has a text for each member of a closed set.
func TestScriptHasEveryLabel(t *testing.T) {
	t.Parallel()
	sets := map[string][]string{"causes": toStrings(admin.Causes), "states": toStrings(admin.AccountStates), "counts": jsonNames(reflect.TypeFor[admin.WindowCounts]())[1:]}
	for _, reason := range access.Reasons {
		sets["denied"] = append(sets["denied"], string(reason))
	}
	for _, outcome := range proxy.RetryOutcomes {
		sets["replays"] = append(sets["replays"], string(outcome))
	}
	for name, want := range sets {
		found := regexp.MustCompile(`(?s)const ` + name + ` = \{(.*?)\n\};`).FindStringSubmatch(file("/page.js"))
		if found == nil {
			t.Fatalf("page.js has no %s", name)
		}
		var got []string
		for _, key := range regexp.MustCompile(`(?m)(?:^ *|, )(\w+): '`).FindAllStringSubmatch(found[1], -1) {
			got = append(got, key[1])
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got labels for %q, want %q", name, got, want)
		}
	}
	css := file("/page.css")
	for _, state := range slices.Concat(toStrings(admin.BrokerStates), toStrings(admin.AccountStates), toStrings(admin.ComponentStates)) {
		if !strings.Contains(css, "[data-state="+state+"]") {
			t.Errorf("page.css has no colour for the state %s", state)
		}
	}
}

func toStrings[T ~string](set []T) []string {
	var all []string
	for _, one := range set {
		all = append(all, string(one))
	}
	return all
}

// TestPageObeysItsPolicy: the page has no inline scripts or styles, and loads nothing from other origins.
func TestPageObeysItsPolicy(t *testing.T) {
	t.Parallel()
	for _, one := range elements(t, file("/")) {
		if one.name == "style" || one.name == "script" && strings.TrimSpace(one.text) != "" || one.name == "base" || one.name == "iframe" || one.name == "form" {
			t.Errorf("got <%s> %v %q, want none", one.name, one.attr, one.text)
		}
		for name, value := range one.attr {
			if name == "style" || strings.HasPrefix(name, "on") {
				t.Errorf("got <%s %s=%q>, want no such attribute", one.name, name, value)
			}
			if name == "src" || name == "href" {
				if got := ask(handler(false, valid("default")), "GET", "/"+value); got.Code != 200 {
					t.Errorf("<%s %s=%q>: got %d, want 200", one.name, name, value, got.Code)
				}
			}
		}
	}
	for path, contentType := range map[string]string{
		"/": "text/html; charset=utf-8", "/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8",
		"/icon.svg": "image/svg+xml", "/troubleshooting.md": "text/plain; charset=utf-8",
	} {
		got := ask(handler(false), "GET", path)
		if got.Header().Get("Content-Type") != contentType || got.Body.Len() == 0 {
			t.Errorf("%s: got %q and %d bytes, want %s", path, got.Header(), got.Body.Len(), contentType)
		}
		foreign := regexp.MustCompile(`(src|href)="(https?:)?//|@import|url\(|fetch\('(https?:)?/`)
		if found := foreign.FindString(got.Body.String()); found != "" && path != "/troubleshooting.md" {
			t.Errorf("%s has %q, want nothing from other origins", path, found)
		}
	}
}

// TestPageIsAccessible covers what screen readers and browsers without scripts need.
func TestPageIsAccessible(t *testing.T) {
	t.Parallel()
	page := file("/")
	all := elements(t, page)
	for _, name := range []string{"header", "main", "footer", "nav", "h1", "title"} {
		if n := len(byName(all, name)); n != 1 {
			t.Errorf("got %d of <%s>, want 1", n, name)
		}
	}
	if language := byName(all, "html")[0].attr["lang"]; language != "en" {
		t.Errorf("lang: got %q, want en", language)
	}
	if tables, captions := len(byName(all, "table")), len(byName(all, "caption")); tables != captions {
		t.Errorf("got %d tables and %d captions, want the same", tables, captions)
	}
	for _, one := range all {
		switch {
		case one.name == "th" && one.attr["scope"] == "":
			t.Errorf("<th> %q has no scope", one.text)
		case one.name == "svg" && (one.attr["role"] != "img" || !strings.Contains(one.attr["data-set"], "aria-label=")):
			t.Errorf("got a picture without a label: %v", one.attr)
		}
	}
	withoutScript := regexp.MustCompile(`(?s)<noscript>.*</noscript>`).FindString(page)
	if !strings.Contains(withoutScript, `href="status.json"`) || !strings.Contains(withoutScript, `href="readyz"`) {
		t.Errorf("without scripts: got %q, want links to /status.json and /readyz", withoutScript)
	}
	// A live region must not contain a countdown: it would be read aloud each time.
	if live := regexp.MustCompile(`(?s)<div role="status">(.*?)</div>`).FindStringSubmatch(page); live == nil || live[1] != `<h1 data-text="summary"></h1>` {
		t.Errorf("the live region: got %q, want only the summary", live)
	}
}

// TestManyAccounts: with hundreds of accounts, /status.json stays below 3 MiB.
func TestManyAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var snapshots []tokensource.Snapshot
		for i := range 500 {
			snapshots = append(snapshots, failing("shop-"+strconv.Itoa(i), tokensource.OutcomeUnavailable))
		}
		h := admin.New(config(snapshots...))
		for range 15 {
			for _, snapshot := range snapshots {
				h.ObserveRefresh(tokensource.RefreshEvent{Account: snapshot.Account, Outcome: tokensource.OutcomeSuccess})
			}
			time.Sleep(4 * time.Minute)
		}
		if size := ask(h, "GET", "/status.json").Body.Len(); size > 3<<20 {
			t.Errorf("/status.json: got %d bytes, want at most 3 MiB", size)
		}
	})
}

// TestContrast: text has a contrast of at least 4.5 to 1 in both colour schemes (WCAG 2.2, level AA).
func TestContrast(t *testing.T) {
	t.Parallel()
	css := ask(handler(false), "GET", "/page.css").Body.String()
	light, dark, found := strings.Cut(css, "prefers-color-scheme: dark")
	if !found {
		t.Fatal("there is no dark colour scheme")
	}
	pairs := [][2]string{
		{"text", "page"}, {"text", "card"}, {"quiet", "page"}, {"quiet", "card"}, {"link", "page"}, {"on", "bad"},
		{"good", "card"}, {"busy", "card"}, {"warn", "card"}, {"bad", "card"}, {"on", "good"}, {"on", "busy"}, {"on", "warn"},
	}
	for _, tint := range []string{"good-tint", "busy-tint", "warn-tint", "bad-tint"} {
		pairs = append(pairs, [2]string{"text", tint}, [2]string{"quiet", tint})
	}
	for name, scheme := range map[string]string{"light": light, "dark": dark} {
		for _, pair := range pairs {
			a, b := luminance(t, scheme, pair[0]), luminance(t, scheme, pair[1])
			if contrast := (max(a, b) + 0.05) / (min(a, b) + 0.05); contrast < 4.5 {
				t.Errorf("%s: %s on %s is %.2f to 1", name, pair[0], pair[1], contrast)
			}
		}
	}
}

// luminance returns the relative luminance (WCAG) of a colour of the stylesheet.
func luminance(t *testing.T, css, name string) float64 {
	t.Helper()
	hex := regexp.MustCompile(`--` + name + `: #(\w+)`).FindStringSubmatch(css)
	if hex == nil {
		t.Fatalf("there is no colour %s", name)
	}
	digits := hex[1]
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	light := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		value, err := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		channel := float64(value) / 255
		if channel <= 0.04045 {
			light += weight * channel / 12.92
		} else {
			light += weight * math.Pow((channel+0.055)/1.055, 2.4)
		}
	}
	return light
}
