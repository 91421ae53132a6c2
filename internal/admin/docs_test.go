package admin_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/admin"
)

// documented maps each heading of docs/status.md to the type that it describes.
var documented = map[string]reflect.Type{
	"The broker":         reflect.TypeFor[admin.Status](),
	"components":         reflect.TypeFor[admin.Component](),
	"usage":              reflect.TypeFor[admin.ConnectionInfo](),
	"callers":            reflect.TypeFor[admin.Caller](),
	"failures":           reflect.TypeFor[admin.FailedRequest](),
	"traffic":            reflect.TypeFor[admin.TrafficMinute](),
	"accounts":           reflect.TypeFor[admin.Account](),
	"last_hour":          reflect.TypeFor[admin.RefreshMinute](),
	"token_store":        reflect.TypeFor[admin.TokenStoreStatus](),
	"shared":             reflect.TypeFor[admin.SharedToken](),
	"last_error":         reflect.TypeFor[admin.TokenProblem](),
	"unused_credentials": reflect.TypeFor[admin.TokenProblem](),
	"requests":           reflect.TypeFor[admin.WindowCounts](),
	"operations":         reflect.TypeFor[admin.Operation](),
	"allow_list":         reflect.TypeFor[admin.SuggestedAllowList](),
	"allow_list.callers": reflect.TypeFor[admin.SuggestedCallerAllowList](),
	"configuration":      reflect.TypeFor[admin.Setting](),
}

// TestDocsNameEveryField: docs/status.md has exactly the names of /status.json.
func TestDocsNameEveryField(t *testing.T) {
	t.Parallel()
	parts := docs(t)
	for heading, described := range documented {
		names := jsonNames(described)
		for _, name := range names {
			if !slices.Contains(parts[heading].names, name) {
				t.Errorf("%s: %s is not documented", heading, name)
			}
		}
		for _, name := range parts[heading].names {
			if !slices.Contains(names, name) {
				t.Errorf("%s: %s is documented, but not in /status.json", heading, name)
			}
		}
	}
	for heading, described := range map[string]reflect.Type{"requests": reflect.TypeFor[admin.RequestCountsByWindow](), "components": reflect.TypeFor[admin.Components]()} {
		wantWords(t, parts[heading].text, jsonNames(described))
	}
	wantWords(t, parts["The broker"].text, admin.BrokerStates)
	wantWords(t, parts["The broker"].text, admin.Causes)
	wantWords(t, parts["accounts"].text, admin.AccountStates)
	wantWords(t, parts["components"].text, admin.ComponentStates)
}

// TestDocumentedHasEveryType: TestDocsNameEveryField checks every type in /status.json.
func TestDocumentedHasEveryType(t *testing.T) {
	t.Parallel()
	var look func(at reflect.Type)
	look = func(at reflect.Type) {
		switch at.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			look(at.Elem())
		case reflect.Struct:
			known := at == reflect.TypeFor[time.Time]() || at == reflect.TypeFor[admin.RequestCountsByWindow]() || at == reflect.TypeFor[admin.Components]() || at == reflect.TypeFor[admin.Diagnosis]()
			for _, described := range documented {
				known = known || at == described
			}
			if !known {
				t.Errorf("%v has no heading in docs/status.md", at)
			}
			if at != reflect.TypeFor[time.Time]() {
				for field := range at.Fields() {
					look(field.Type)
				}
			}
		}
	}
	look(reflect.TypeFor[admin.Status]())
}

func wantWords[T ~string](t *testing.T, text string, words []T) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, fmt.Sprintf("`%s`", word)) {
			t.Errorf("%T %s is not documented", word, word)
		}
	}
}

func jsonNames(of reflect.Type) []string {
	var names []string
	for field := range of.Fields() {
		if field.Anonymous {
			names = append(names, jsonNames(field.Type)...)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// part is the text below a heading.
type part struct {
	text  string
	names []string // in the first column of its table
}

func docs(t *testing.T) map[string]part {
	t.Helper()
	text, err := os.ReadFile("../../docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]part{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		heading, rest, _ := strings.Cut(section, "\n")
		one := part{text: rest}
		for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(rest, -1) {
			for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
				one.names = append(one.names, name[1])
			}
		}
		parts[heading] = one
	}
	return parts
}
