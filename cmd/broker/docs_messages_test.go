package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// messagePackages are the packages whose texts reach an operator or an app: by the log, an answer's title and detail, /readyz, the
// verdict of the status page, or a command's complaint. The doctor is not among them: each of its lines says itself what to
// do, and docs/check.md tells of its steps.
var messagePackages = []string{
	"cmd/broker", "internal/config", "internal/server",
	"internal/admin", "internal/neterr", "internal/sdnotify", "internal/unixsocket",
	"proxy", "proxy/access", "proxy/localca", "proxy/tokenendpoint", "proxy/wire",
	"tokensource", "tokensource/redisstore",
}

// excludedSources are files, and functions in files, whose texts are no messages, and why.
var excludedSources = map[string]string{
	"cmd/broker/help.go":               "the help",
	"cmd/broker/run.go:commands":       "the help",
	"cmd/broker/check.go:checkOptions": "the help",
	"cmd/broker/demo.go:introduce":     "what the demo prints",
	"cmd/broker/demo.go:curlFor":       "what the demo prints",
	"internal/admin/display.go":        "the status page's figures, in words",
	"internal/admin/document.go":       "the status page's markup",
	"internal/admin/hour.go":           "the status page's figures, in words",
	"internal/admin/page.go":           "the status page's tables",
	"proxy/localca/certificate.go":     "what stands in a certificate, and failures of crypto/rand",
	"proxy/localca/trust.go":           "what 'broker ca' prints",
}

// excludedPrefixes begin what is no message either.
var excludedPrefixes = []string{
	"HTTP/1.1 200 ", "GET, HEAD, POST, ", "Basic realm=", "default-src 'none'", // of HTTP
	"net/http: TLS ", "http: server ", "http2: ", // of net/http: package neterr compares them
	"etrusted-broker token store 1", // of which keys are derived
	"give up after this long",       // the help of 'broker wait'
	"tokensource: ",                 // mistakes in the program, not in its use
}

// TestTroubleshootingHasEveryMessage holds that whoever searches docs/troubleshooting.md for a message finds it.
//
// A message is what its source says: each string of three words or more in the packages that speak, and each that is given
// to the log itself, however short. What is only known at run time (the verbs of a format) is cut out, and what remains is
// looked for sentence by sentence, each within one line of the page.
func TestTroubleshootingHasEveryMessage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	told, found := map[string]bool{}, 0
	for _, said := range messages(t) {
		for _, sentence := range sentences(said) {
			found++
			if !strings.Contains(string(page), sentence) && !told[sentence] {
				told[sentence] = true
				t.Errorf("%s says this, and docs/troubleshooting.md does not tell what to do then:\n%s", said.where, sentence)
			}
		}
	}
	if found < 400 {
		t.Errorf("only %d sentences were found in the sources", found)
	}
}

// message is a text in the sources.
type message struct {
	where  string
	text   string
	logged bool
}

// messages are all of them. An exception that no longer is one is an error: it could hide what comes after it.
func messages(t *testing.T) []message {
	t.Helper()
	var all []message
	excepted := map[string]bool{}
	except := func(name string) bool {
		excepted[name] = true
		return excludedSources[name] != ""
	}
	for _, folder := range messagePackages {
		files, err := filepath.Glob(filepath.Join("../..", folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", folder, err)
		}
		for _, file := range files {
			name := folder + "/" + filepath.Base(file)
			if !strings.HasSuffix(file, "_test.go") && !except(name) {
				all = append(all, messagesIn(t, file, name, except)...)
			}
		}
	}
	for name := range excludedSources {
		if !excepted[name] {
			t.Errorf("there is no %s", name)
		}
	}
	return withoutExcluded(t, all)
}

func messagesIn(t *testing.T, file, name string, except func(string) bool) []message {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	gathered := &collector{where: func(at token.Pos) string { return name + ":" + strconv.Itoa(set.Position(at).Line) }}
	for _, declared := range parsed.Decls {
		if function, ok := declared.(*ast.FuncDecl); ok && except(name+":"+function.Name.Name) {
			continue
		}
		ast.Walk(gathered, declared)
	}
	return gathered.all
}

func withoutExcluded(t *testing.T, all []message) []message {
	t.Helper()
	for _, other := range excludedPrefixes {
		before := len(all)
		all = slices.DeleteFunc(all, func(m message) bool { return strings.HasPrefix(m.text, other) })
		if len(all) == before {
			t.Errorf("nothing begins with %q any more", other)
		}
	}
	return all
}

// collector gathers the messages of a part of a source.
type collector struct {
	where  func(token.Pos) string
	logged bool // it is what is given to the log
	all    []message
}

// Visit implements ast.Visitor.
func (g *collector) Visit(node ast.Node) ast.Visitor {
	switch node := node.(type) {
	case *ast.ImportSpec, *ast.Field: // paths, and tags
		return nil
	case *ast.CallExpr:
		return g.visitCall(node)
	case ast.Expr:
		if text, ok := constantString(node); ok {
			g.all = append(g.all, message{g.where(node.Pos()), text, g.logged})
			return nil
		}
	}
	return g
}

// logMethods are the methods of the logger.
var logMethods = []string{"Info", "Warn", "Error", "Log", "Check"}

func (g *collector) visitCall(call *ast.CallExpr) ast.Visitor {
	from, called := calleeName(call.Fun)
	switch {
	case called == "panic": // a mistake in the program, and not in its use
		return nil
	case from == "strings" || from == "regexp": // a text that is compared, and not said
		return nil
	case !slices.Contains(logMethods, called):
		return g
	}
	for _, argument := range call.Args {
		if field, ok := argument.(*ast.CallExpr); ok {
			if from, _ := calleeName(field.Fun); from == "zap" {
				ast.Walk(g, field)
				continue
			}
		}
		said := &collector{where: g.where, logged: true}
		ast.Walk(said, argument)
		g.all = append(g.all, said.all...)
	}
	return nil
}

// calleeName is what is called, and of which package or variable it is, if that has a name.
func calleeName(function ast.Expr) (from, name string) {
	switch function := function.(type) {
	case *ast.Ident:
		return "", function.Name
	case *ast.SelectorExpr:
		_, from = calleeName(function.X)
		return from, function.Sel.Name
	}
	return "", ""
}

// constantString is a text that the source spells out, in several parts perhaps.
func constantString(of ast.Expr) (text string, ok bool) {
	switch of := of.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(of.Value)
		return text, of.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		left, okLeft := constantString(of.X)
		right, okRight := constantString(of.Y)
		return left + right, of.Op == token.ADD && okLeft && okRight
	}
	return "", false
}

var (
	formatVerb = regexp.MustCompile(`%[-+# 0]*[0-9.]*(?:\[[0-9]+\])?[a-zA-Z]`)
	letter     = regexp.MustCompile(`[a-zA-Z]`)
)

// sentences are the fixed parts of a message.
func sentences(said message) []string {
	var all []string
	for part := range strings.SplitSeq(formatVerb.ReplaceAllString(said.text, "\n"), "\n") {
		for sentence := range strings.SplitAfterSeq(part, ". ") {
			sentence = strings.Trim(sentence, " ():;,\"")
			words := 0
			for field := range strings.FieldsSeq(sentence) {
				if letter.MatchString(field) {
					words++
				}
			}
			if words >= 3 || said.logged && words > 0 {
				all = append(all, sentence)
			}
		}
	}
	return all
}
