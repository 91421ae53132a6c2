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
	"etrusted-broker/tokensource"
)

// element is one of the page, with the text in it and in what is in it.
type element struct {
	name    string
	attr    map[string]string
	text    string
	account string // whose part of the page it is in; empty if it is in no account's
}

// elements reads the page, as leniently as is needed for HTML that we write ourselves.
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
			for _, one := range open[max(0, len(open)-3):] { // what is of interest has no more in it
				one.text += string(token)
			}
		}
	}
}

func pageOf(c admin.Config) string { return ask(admin.Handler(c), "GET", "/").Body.String() }

func byName(all []*element, name string) []*element {
	return slices.DeleteFunc(slices.Clone(all), func(one *element) bool { return one.name != name })
}

// facts is /status.json as the page's script sees it: by the paths of data- attributes.
type facts map[string]any

func factsOf(t *testing.T, c admin.Config) facts {
	t.Helper()
	var status map[string]any
	if err := json.Unmarshal(ask(admin.Handler(c), "GET", "/status.json").Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	return status
}

// of returns the part that is an account's, and all of it for no account.
func (f facts) of(account string) facts {
	for _, one := range f["accounts"].([]any) {
		if one := one.(map[string]any); account != "" && one["account"] == account {
			return one
		}
	}
	return f
}

func (f facts) look(path string) (any, bool) {
	var at any = map[string]any(f)
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

// text is a value as JavaScript writes it.
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

// TestPageShowsTheFacts holds that what the server puts into an element is what the script would put there from
// /status.json: the two cannot drift apart.
func TestPageShowsTheFacts(t *testing.T) {
	t.Parallel()
	tests := map[string]func() admin.Config{
		"eventful": eventful,
		"several": func() admin.Config {
			return config(healthy("at"), without(failing("de", tokensource.OutcomeRejected)), starting("fr"), stale("it", tokensource.ReloadRejected))
		},
		"none": func() admin.Config { return config() },
	}
	for name, configured := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := configured()
				status, bound := factsOf(t, c), 0
				for _, one := range elements(t, pageOf(c)) {
					facts := status.of(one.account)
					if path, is := one.attr["data-text"]; is {
						bound++
						wantSame(t, facts, path, one.text)
					}
					for pair := range strings.FieldsSeq(one.attr["data-set"]) {
						bound++
						name, path, _ := strings.Cut(pair, "=")
						wantSame(t, facts, path, one.attr[name])
					}
					if path, is := one.attr["data-show"]; is {
						bound++
						_, hidden := one.attr["hidden"]
						if value, _ := facts.look(path); hidden != (value == nil || value == "" || value == float64(0)) {
							t.Errorf("%s %s: hidden is %v, and the fact %v", one.account, path, hidden, value)
						}
					}
				}
				if bound < 30 {
					t.Errorf("only %d things of the page follow /status.json", bound)
				}
			})
		})
	}
}

// mayBeAbsent are the facts that need not be there.
var mayBeAbsent = []string{"detail", "last_error.reason", "last_error.advice", "unused_credentials.reason", "unused_credentials.advice"}

func wantSame(t *testing.T, f facts, path, shown string) {
	t.Helper()
	value, there := f.look(path)
	if !there && !slices.Contains(mayBeAbsent, path) {
		t.Errorf("%s is not in /status.json", path)
	}
	if want := text(value); shown != want {
		t.Errorf("%s: the page shows %q, and the script would %q", path, shown, want)
	}
}

// TestScriptsNames holds that what page.js itself asks of the facts is there.
func TestScriptsNames(t *testing.T) {
	t.Parallel()
	status := factsOf(t, config(valid("default")))
	script := ask(handler(false), "GET", "/page.js").Body.String()
	for object, facts := range map[string]facts{"status": status, "account": status.of("default")} {
		script := strings.ReplaceAll(script, "status.json", "")
		names := regexp.MustCompile(`\b`+object+`\.(\w+)`).FindAllStringSubmatch(script, -1)
		if len(names) == 0 {
			t.Errorf("no name of %s is found in page.js", object)
		}
		for _, name := range names {
			if _, there := facts[name[1]]; !there {
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
	for _, way := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval", "new Function", "srcdoc"} {
		if strings.Contains(script, way) {
			t.Errorf("page.js: %s could make markup of a text", way)
		}
	}
}

// TestNothingInline holds that the page needs nothing that its policy forbids, and nothing from elsewhere.
func TestNothingInline(t *testing.T) {
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

// TestPageForAll holds what those need who do not see the page, or not all of it.
func TestPageForAll(t *testing.T) {
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
				if one.attr["aria-label"] != "Life left of the token of "+one.account || one.attr["aria-valuetext"] != "3 min 20 s left of 5 min" || one.attr["max"] != "300" || one.attr["value"] != "200" {
					t.Errorf("the bar of %s: %v", one.account, one.attr)
				}
			case "svg":
				if one.attr["aria-hidden"] != "true" && (one.attr["role"] != "img" || one.attr["aria-label"] == "") {
					t.Errorf("a picture without words: %v", one.attr)
				}
			}
		}
		if n := strings.Count(page, "<table"); strings.Count(page, "<caption>") != n {
			t.Errorf("%d tables, %d captions", n, strings.Count(page, "<caption>"))
		}
		if !strings.Contains(page, `<noscript><meta http-equiv="refresh" content="10"></noscript>`) {
			t.Error("without script the page stays as it is")
		}
		// What ticks is not in a live region: it would be read aloud each time.
		live := regexp.MustCompile(`(?s)<div role="status">.*?</div>`).FindString(page)
		if live == "" || regexp.MustCompile(`\d s\b`).MatchString(live) {
			t.Errorf("the live region: %s", live)
		}
		if troubled, fine := strings.Index(page, `data-account="de"`), strings.Index(page, `data-account="at"`); troubled < 0 || fine < troubled {
			t.Error("the account that needs attention does not come first")
		}
	})
}

// TestPageNamesWhatRuns holds the texts that stay as they are while the page is open: TestPageShowsTheFacts does not see them.
func TestPageNamesWhatRuns(t *testing.T) {
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

// TestHostileTexts holds that no text can become markup, whoever wrote it.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	const hostile = `</script><script>alert(1)</script>"'><img src=x onerror=alert(1)>{}{{.}}`
	unused := valid("unused")
	unused.PendingReload = &tokensource.CredentialReload{Outcome: tokensource.ReloadRejected, Reason: hostile, Advice: hostile}
	c := config(tokensource.Snapshot{Account: hostile, LastFailure: &tokensource.RefreshError{Outcome: tokensource.OutcomeRejected, Reason: hostile, Advice: hostile}}, unused)
	c.Version, c.Revision = hostile, hostile
	c.StoreProblem = func() string { return hostile }
	c.Settings = []admin.Setting{{Name: hostile, Value: hostile, Source: hostile, Meaning: hostile}}
	c.Traffic = func() stats.Snapshot {
		return stats.Snapshot{Denied: map[string]uint64{hostile: 1}, Accounts: map[string]stats.Account{"unused": {Replays: map[string]uint64{hostile: 1}}}}
	}
	page := pageOf(c)
	if strings.Contains(page, "<script>") || strings.Contains(page, "<img") || strings.Count(page, "<script") != 1 {
		t.Errorf("a text became markup: %s", page)
	}
	// How often it stands there, escaped: in the title and the verdict 4 times, in the store's fact once, as the account's name 3
	// times, in each account's error 2, in each table of counts 3, in the setting 4, in the brand once and in the footer 2.
	const want = 4 + 1 + 3 + 2*2 + 2*3 + 4 + 1 + 2
	if told := strings.Count(page, html.EscapeString(hostile)); told != want {
		t.Errorf("the text is told %d times, want %d", told, want)
	}
}

// TestManyAccounts holds that hundreds of accounts are no burden: those in trouble are found first, and neither the page nor
// /status.json grows out of hand.
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
		c.Traffic = traffic(func(counted *stats.Recorder) {
			for range 15 {
				for _, snapshot := range snapshots {
					counted.ObserveRefresh(tokensource.RefreshEvent{Account: snapshot.Account, Outcome: tokensource.OutcomeSuccess, Duration: time.Second})
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
		if !strings.Contains(page, ">5 accounts that need attention<") || !strings.Contains(page, ">495 accounts in order<") {
			t.Error("the headings do not count the accounts")
		}
		var open []string
		for _, one := range byName(elements(t, page), "details") {
			if _, is := one.attr["open"]; is {
				open = append(open, one.account+one.attr["id"])
			}
		}
		if want := []string{"shop-005", "shop-105", "shop-205"}; !slices.Equal(open, want) {
			t.Errorf("unfolded: %v, want %v", open, want)
		}
	})
}

// TestContrast holds that texts can be read in either colour scheme: 4.5 to 1, as WCAG 2.2 asks at level AA.
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

// luminance is WCAG's of a colour of the stylesheet.
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
