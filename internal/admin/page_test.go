package admin_test

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/admin"
	"etrusted-broker/internal/stats"
	"etrusted-broker/proxy"
	"etrusted-broker/proxy/access"
	"etrusted-broker/tokensource"
)

// element is an HTML element of the page, with its text.
type element struct {
	name    string
	attr    map[string]string
	text    string
	account string // the account that the element belongs to; empty for the rest of the page
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
			if len(open) > 0 {
				one.account = open[len(open)-1].account
			}
			if account, is := one.attr["data-account"]; is {
				one.account = account
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

func pageOf(c admin.Config) string { return ask(admin.Handler(c), "GET", "/").Body.String() }

func byName(all []*element, name string) []*element {
	return slices.DeleteFunc(slices.Clone(all), func(one *element) bool { return one.name != name })
}

// values is /status.json as the page's script sees it: by the paths in data- attributes.
type values map[string]any

func valuesOf(t *testing.T, c admin.Config) values {
	t.Helper()
	var status map[string]any
	if err := json.Unmarshal(ask(admin.Handler(c), "GET", "/status.json").Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	return status
}

// of returns the values of an account, or all values for no account.
func (v values) of(account string) values {
	for _, one := range v["accounts"].([]any) {
		if one := one.(map[string]any); account != "" && one["account"] == account {
			return one
		}
	}
	return v
}

func (v values) get(path string) (any, bool) {
	var at any = map[string]any(v)
	for name := range strings.SplitSeq(path, ".") {
		object, isObject := at.(map[string]any)
		if !isObject {
			return nil, false
		}
		if at, isObject = object[name]; !isObject {
			return nil, false
		}
	}
	return at, true
}

// text formats a value as JavaScript does.
func text(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	default:
		return fmt.Sprint(value)
	}
}

// TestPageMatchesStatusJSON: the server writes into each element what the script would write from /status.json.
func TestPageMatchesStatusJSON(t *testing.T) {
	t.Parallel()
	tests := map[string]func() admin.Config{
		"eventful": eventful,
		"several": func() admin.Config {
			return config(healthy("at"), without(failing("de", tokensource.OutcomeRejected)), starting("fr"), stale("it", tokensource.ReloadRejected))
		},
		"no accounts": func() admin.Config { return config() },
	}
	for name, configured := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := configured()
				status, bound := valuesOf(t, c), 0
				for _, one := range elements(t, pageOf(c)) {
					values := status.of(one.account)
					if path, is := one.attr["data-text"]; is {
						bound++
						wantSame(t, values, path, one.text)
					}
					for pair := range strings.FieldsSeq(one.attr["data-set"]) {
						bound++
						name, path, _ := strings.Cut(pair, "=")
						wantSame(t, values, path, one.attr[name])
					}
					if path, is := one.attr["data-show"]; is {
						bound++
						_, hidden := one.attr["hidden"]
						if value, _ := values.get(path); hidden != (value == nil || value == "" || value == float64(0)) {
							t.Errorf("%s %s: hidden is %v, and the value %v", one.account, path, hidden, value)
						}
					}
				}
				if bound < 30 {
					t.Errorf("only %d bindings to /status.json", bound)
				}
			})
		})
	}
}

// mayBeAbsent lists values that are optional.
var mayBeAbsent = []string{"detail", "last_error.reason", "last_error.advice", "unused_credentials.reason", "unused_credentials.advice"}

func wantSame(t *testing.T, v values, path, shown string) {
	t.Helper()
	value, there := v.get(path)
	isCount := strings.HasPrefix(path, "denied.") || strings.HasPrefix(path, "replays.") // of all reasons and outcomes
	if !there && !isCount && !slices.Contains(mayBeAbsent, path) {
		t.Errorf("%s is not in /status.json", path)
	}
	if want := text(value); shown != want {
		t.Errorf("%s: the page shows %q, the script would show %q", path, shown, want)
	}
}

// TestPageHasEveryReasonAndOutcome: the tables have a row for each reason of a refusal and each outcome of a retry.
func TestPageHasEveryReasonAndOutcome(t *testing.T) {
	t.Parallel()
	var want []string
	for _, reason := range access.Reasons {
		want = append(want, "denied."+string(reason))
	}
	for _, outcome := range proxy.RetryOutcomes {
		want = append(want, "replays."+string(outcome))
	}
	var got []string
	for _, row := range byName(elements(t, pageOf(config())), "tr") {
		if path := row.attr["data-show"]; path != "" {
			got = append(got, path)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got rows for %q\nwant %q", got, want)
	}
}

// TestScriptUsesExistingNames: every value and element that page.js uses exists, and it never parses text as HTML.
func TestScriptUsesExistingNames(t *testing.T) {
	t.Parallel()
	status := valuesOf(t, config(valid("default")))
	script := ask(handler(false), "GET", "/page.js").Body.String()
	for object, values := range map[string]values{"status": status, "account": status.of("default")} {
		script := strings.ReplaceAll(script, "status.json", "")
		names := regexp.MustCompile(`\b`+object+`\.(\w+)`).FindAllStringSubmatch(script, -1)
		if len(names) == 0 {
			t.Errorf("page.js uses no name of %s", object)
		}
		for _, name := range names {
			if _, there := values[name[1]]; !there {
				t.Errorf("page.js: %s is not in /status.json", name[0])
			}
		}
	}
	for _, id := range regexp.MustCompile(`getElementById\((?:[^)]*\? )?'(\w+)'(?: : '(\w+)')?\)`).FindAllStringSubmatch(script, -1) {
		for _, id := range id[1:] {
			if id != "" && !strings.Contains(pageOf(config()), `id="`+id+`"`) {
				t.Errorf("page.js: there is no element %s", id)
			}
		}
	}
	for _, api := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval", "new Function", "srcdoc"} {
		if strings.Contains(script, api) {
			t.Errorf("page.js: %s could turn text into markup", api)
		}
	}
}

// TestPageObeysItsPolicy: the page has no inline scripts or styles, and loads nothing from other origins.
func TestPageObeysItsPolicy(t *testing.T) {
	t.Parallel()
	h := admin.Handler(config(valid("default")))
	for _, one := range elements(t, pageOf(config(valid("default"), failed("de", "it broke")))) {
		if one.name == "style" || one.name == "script" && strings.TrimSpace(one.text) != "" || one.name == "base" || one.name == "iframe" || one.name == "form" {
			t.Errorf("<%s> %v %q", one.name, one.attr, one.text)
		}
		for name, value := range one.attr {
			if name == "style" || strings.HasPrefix(name, "on") || strings.HasPrefix(strings.TrimSpace(value), "javascript:") {
				t.Errorf("<%s %s=%q>", one.name, name, value)
			}
			if (name == "src" || name == "href") && !strings.HasPrefix(value, "#") {
				if got := ask(h, "GET", "/"+value); got.Code != 200 && value != "readyz" {
					t.Errorf("<%s %s=%q>: %d", one.name, name, value, got.Code)
				}
			}
		}
	}
	for path, contentType := range map[string]string{
		"/": "text/html; charset=utf-8", "/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8", "/icon.svg": "image/svg+xml",
	} {
		got := ask(h, "GET", path)
		if got.Header().Get("Content-Type") != contentType || got.Body.Len() == 0 {
			t.Errorf("%s: %q", path, got.Header())
		}
		if found := regexp.MustCompile(`(https?:)?//[\w.]+|@import|url\(`).FindAllString(got.Body.String(), -1); slices.ContainsFunc(found, func(text string) bool { return text != "http://www.w3.org" }) && path != "/page.js" {
			t.Errorf("%s: %q", path, found)
		}
	}
}

// TestPageIsAccessible covers what screen readers and browsers without scripts need.
func TestPageIsAccessible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := config(healthy("at"), failing("de", tokensource.OutcomeUnavailable))
		page := pageOf(c)
		all := elements(t, page)
		for _, name := range []string{"header", "main", "footer", "nav", "h1", "title"} {
			if n := len(byName(all, name)); n != 1 {
				t.Errorf("%d of <%s>", n, name)
			}
		}
		if language := byName(all, "html")[0].attr["lang"]; language != "en" {
			t.Errorf("lang %q", language)
		}
		for _, one := range all {
			switch one.name {
			case "table":
				if !strings.Contains(page, "<caption>") {
					t.Error("a table without a caption")
				}
			case "th":
				if one.attr["scope"] == "" {
					t.Errorf("<th> %q has no scope", one.text)
				}
			case "progress":
				if one.attr["aria-label"] != "Remaining token lifetime of "+one.account || one.attr["aria-valuetext"] != "3 min 20 s left of 5 min" || one.attr["max"] != "300" || one.attr["value"] != "200" {
					t.Errorf("the bar of %s: %v", one.account, one.attr)
				}
			case "svg":
				if one.attr["aria-hidden"] != "true" && (one.attr["role"] != "img" || one.attr["aria-label"] == "") {
					t.Errorf("a picture without a label: %v", one.attr)
				}
			}
		}
		if n := strings.Count(page, "<table"); strings.Count(page, "<caption>") != n {
			t.Errorf("%d tables, %d captions", n, strings.Count(page, "<caption>"))
		}
		if !strings.Contains(page, `<noscript><meta http-equiv="refresh" content="10"></noscript>`) {
			t.Error("without scripts the page is not reloaded")
		}
		// A live region must not contain a countdown: it would be read aloud each time.
		live := regexp.MustCompile(`(?s)<div role="status">.*?</div>`).FindString(page)
		if live == "" || regexp.MustCompile(`\d s\b`).MatchString(live) {
			t.Errorf("the live region: %s", live)
		}
		if attention, healthy := strings.Index(page, `data-account="de"`), strings.Index(page, `data-account="at"`); attention < 0 || healthy < attention {
			t.Error("the account that needs attention does not come first")
		}
	})
}

// TestPageShowsVersionAndSettings covers the texts without bindings, which TestPageMatchesStatusJSON does not see.
func TestPageShowsVersionAndSettings(t *testing.T) {
	t.Parallel()
	c := config(valid("default"))
	c.Settings = []admin.Setting{
		{Name: "THE_NAME", Value: "the value", Source: "the source", Meaning: "the meaning"},
		{Name: "ANOTHER_NAME", Value: "another value", Source: "another source", Meaning: "another meaning"},
	}
	var got []string
	place := ""
	for _, one := range elements(t, pageOf(c)) {
		switch {
		case one.name == "dl" || one.name == "footer" || one.name == "nav":
			place = one.attr["class"] + one.name
		case one.attr["class"] == "brand":
			got = append(got, "brand: "+one.text)
		case place == "footer" && one.name == "p":
			got = append(got, "footer: "+one.text)
		case place == "settingsdl" && slices.Contains([]string{"dt", "code", "source", "meaning"}, cmp.Or(one.attr["class"], one.name)):
			got = append(got, cmp.Or(one.attr["class"], one.name)+": "+one.text)
		}
	}
	want := []string{
		"brand: etrusted-broker 1.2.3",
		"dt: THE_NAME", "code: the value", "source: the source", "meaning: the meaning",
		"dt: ANOTHER_NAME", "code: another value", "source: another source", "meaning: another meaning",
		"footer: Version 1.2.3, revision abcdef, started 2026-01-02 02:04:05 UTC.",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestEscapesAllTexts: no text becomes markup, wherever it comes from.
func TestEscapesAllTexts(t *testing.T) {
	t.Parallel()
	const hostile = `</script><script>alert(1)</script>"'><img src=x onerror=alert(1)>{}{{.}}`
	unused := valid("unused")
	unused.PendingReload = &tokensource.CredentialReload{Outcome: tokensource.ReloadRejected, Reason: hostile, Advice: hostile}
	c := config(tokensource.Snapshot{Account: hostile, LastFailure: &tokensource.RefreshError{Outcome: tokensource.OutcomeRejected, Reason: hostile, Advice: hostile}}, unused)
	c.Version, c.Revision = hostile, hostile
	c.StoreProblem = func() string { return hostile }
	c.Settings = []admin.Setting{{Name: hostile, Value: hostile, Source: hostile, Meaning: hostile}}
	page := pageOf(c)
	if strings.Contains(page, "<script>") || strings.Contains(page, "<img") || strings.Count(page, "<script") != 1 {
		t.Errorf("a text became markup: %s", page)
	}
	// Escaped, it occurs 4 times in title and summary, once in the store's state, 3 times as the account's name, twice in each
	// account's error, 4 times in the setting, once in the brand, and twice in the footer.
	const want = 4 + 1 + 3 + 2*2 + 4 + 1 + 2
	if got := strings.Count(page, html.EscapeString(hostile)); got != want {
		t.Errorf("the escaped text occurs %d times, want %d", got, want)
	}
}

// TestManyAccounts: with hundreds of accounts, those that need attention come first, and the page and /status.json stay below
// 3 MiB.
func TestManyAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var snapshots []tokensource.Snapshot
		for i := range 500 {
			snapshots = append(snapshots, healthy(fmt.Sprintf("shop-%03d", i)))
		}
		for i := 5; i < 500; i += 100 {
			snapshots[i] = failing(snapshots[i].Account, tokensource.OutcomeUnavailable)
		}
		c := config(snapshots...)
		c.Traffic = traffic(func(recorder *stats.Recorder) {
			for range 15 {
				for _, snapshot := range snapshots {
					recorder.ObserveRefresh(tokensource.RefreshEvent{Account: snapshot.Account, Outcome: tokensource.OutcomeSuccess, Duration: time.Second})
				}
				time.Sleep(4 * time.Minute)
			}
		}).Snapshot
		if size := ask(admin.Handler(c), "GET", "/status.json").Body.Len(); size > 3<<20 {
			t.Errorf("/status.json has %d bytes", size)
		}
		page := pageOf(c)
		if len(page) > 3<<20 {
			t.Errorf("the page has %d bytes", len(page))
		}
		if !strings.Contains(page, ">Needs attention (5)<") || !strings.Contains(page, ">Healthy (495)<") {
			t.Error("the headings do not count the accounts")
		}
		var open []string
		for _, one := range byName(elements(t, page), "details") {
			if _, is := one.attr["open"]; is {
				open = append(open, one.account+one.attr["id"])
			}
		}
		if want := []string{"shop-005", "shop-105", "shop-205"}; !slices.Equal(open, want) {
			t.Errorf("open: got %v, want %v", open, want)
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
