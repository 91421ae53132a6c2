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

// messagePackages are the packages, and files of packages, whose messages reach an operator or an app: in the log, a problem's
// title and detail, /readyz, the status page, or the output of a command. The steps of 'check' are not among them: each says
// itself what to do, and docs/check.md describes them.
var messagePackages = []string{
	"cmd/broker", "internal/config", "internal/server",
	"internal/admin", "internal/callers", "internal/neterr", "internal/sdnotify", "internal/unixsocket", "internal/winservice",
	"internal/hostport", "internal/problem", "proxy", "proxy/access", "proxy/localca", "proxy/tokenendpoint", "proxy/http1/errors.go",
	"tokensource", "tokensource/redisstore",
}

// excludedSources are files, or functions in files, whose texts are not messages. The value is the reason.
var excludedSources = map[string]string{
	"cmd/broker/help.go":                               "the help",
	"cmd/broker/cli.go:commands":                       "the help",
	"cmd/broker/check.go:checkCommand":                 "the help",
	"cmd/broker/envfile.go:addEnvFileFlag":             "the help",
	"cmd/broker/check_config.go:tokenStoreWarningStep": "a step of check",
	"cmd/broker/check_listen.go":                       "steps of check",
	"cmd/broker/check.go:step":                         "what is around the steps of check",
	"cmd/broker/check.go:summary":                      "what is around the steps of check",
	"cmd/broker/run.go:register":                       "the help",
	"cmd/broker/demo.go:exampleRequests":               "what the demo prints",
	"cmd/broker/demo.go:printIntroduction":             "what the demo prints",
	"internal/server/connectioninfo.go":                "commands to paste",
	"proxy/localca/certificate.go":                     "the content of a certificate, and errors of crypto/rand",
	"proxy/localca/trust.go":                           "what 'broker ca' prints",
}

// excludedPrefixes are the beginnings of other texts that are not messages.
var excludedPrefixes = []string{
	"GET, HEAD, POST, ", "Basic realm=", "default-src 'none'", // HTTP
	"http2: ",                       // texts of net/http, with which package neterr compares
	"etrusted-broker token store 3", // input of a key derivation
	"give up after this long",       // the help of 'broker wait'
	"print only a bundle, PEM: ",    // the help of 'broker ca'
	"tls: no certificates ",         // a text of crypto/tls, with which package server compares
	"print the whole ",              // the help of 'broker status'
	"print only what this caller ",  // the help of 'broker allow'
	"install, remove, ",             // the help of 'broker service'
	"Adds the OAuth access token ",  // the description of the Windows service
	"tokensource: ", "proxy: ",      // bugs, not wrong use
}

// A reader who searches docs/troubleshooting.md for a message must find it.
//
// Messages are string constants in the sources of messagePackages: those of three words or more, and those of any length that
// are arguments of a log method. The test cuts out format verbs, and searches for each remaining sentence within one line of
// the page.
func TestTroubleshootingHasEveryMessage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	reported, found := map[string]bool{}, 0
	for _, m := range messages(t) {
		for _, sentence := range sentences(m) {
			found++
			if !strings.Contains(string(page), sentence) && !reported[sentence] {
				reported[sentence] = true
				t.Errorf("%s has a message that docs/troubleshooting.md does not explain:\n%s", m.where, sentence)
			}
		}
	}
	if found < 400 {
		t.Errorf("got %d sentences in the sources, want at least 400", found)
	}
}

// codePattern matches the code of a problem where it is defined.
var codePattern = regexp.MustCompile(`\b\w*[cC]ode\w*\s*[:=]\s*"([a-z-]*[a-z])"|RequestError\{"([a-z-]+)"` +
	`|(?:(?:badGateway|gatewayTimeout|untrusted|newUnauthorized)\(|newDenial\(\w+, http\.\w+, )"([a-z-]+)"`)

// The status page links to the code of a problem in docs/troubleshooting.md, and operators search for it.
func TestTroubleshootingHasEveryCode(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range []string{"internal/admin", "internal/neterr", "proxy", "proxy/access", "proxy/http1", "tokensource"} {
		files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range codePattern.FindAllStringSubmatch(string(source), -1) {
				code := match[1] + match[3]
				if match[2] != "" {
					code = "malformed-" + match[2]
				}
				if !strings.HasSuffix(file, "_test.go") {
					found++
					if !strings.Contains(string(page), "`"+code+"`") {
						t.Errorf("%s has the code %s, which docs/troubleshooting.md does not explain", file, code)
					}
				}
			}
		}
	}
	if found < 60 {
		t.Errorf("got %d codes in the sources, want at least 60", found)
	}
}

// message is a string constant in the sources.
type message struct {
	where  string
	text   string
	logged bool
}

// messages returns all messages. It reports an exclusion that matches nothing, since it could hide a later message.
func messages(t *testing.T) []message {
	t.Helper()
	var all []message
	excluded := map[string]bool{}
	exclude := func(name string) bool {
		excluded[name] = true
		return excludedSources[name] != ""
	}
	for _, dir := range messagePackages {
		pattern := filepath.Join("../..", dir)
		if strings.HasSuffix(dir, ".go") {
			dir = filepath.Dir(dir)
		} else {
			pattern = filepath.Join(pattern, "*.go")
		}
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: got %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			name := dir + "/" + filepath.Base(file)
			if !strings.HasSuffix(file, "_test.go") && !exclude(name) {
				all = append(all, messagesIn(t, file, name, exclude)...)
			}
		}
	}
	for name := range excludedSources {
		if !excluded[name] {
			t.Errorf("excludedSources has %s, which does not exist", name)
		}
	}
	for _, prefix := range excludedPrefixes {
		before := len(all)
		all = slices.DeleteFunc(all, func(m message) bool { return strings.HasPrefix(m.text, prefix) })
		if len(all) == before {
			t.Errorf("excludedPrefixes has %q, with which no message begins", prefix)
		}
	}
	return all
}

// messagesIn returns the messages in a file, without excluded functions.
func messagesIn(t *testing.T, file, name string, exclude func(string) bool) []message {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	visitor := &collector{where: func(at token.Pos) string { return name + ":" + strconv.Itoa(set.Position(at).Line) }}
	for _, declared := range parsed.Decls {
		if function, ok := declared.(*ast.FuncDecl); ok && exclude(name+":"+function.Name.Name) {
			continue
		}
		ast.Walk(visitor, declared)
	}
	return visitor.all
}

// collector collects the messages in a syntax tree.
type collector struct {
	where  func(token.Pos) string
	logged bool // the tree is an argument of a log method
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

// logMethods are the methods of the logger that take a message.
var logMethods = []string{"Info", "Warn", "Error", "Log", "Check"}

func (g *collector) visitCall(call *ast.CallExpr) ast.Visitor {
	receiver, called := calleeName(call.Fun)
	switch {
	case called == "panic": // a bug, not wrong use
		return nil
	case receiver == "strings" || receiver == "regexp": // the text is compared, not printed
		return nil
	case !slices.Contains(logMethods, called):
		return g
	}
	for _, argument := range call.Args {
		if field, ok := argument.(*ast.CallExpr); ok {
			if receiver, _ := calleeName(field.Fun); receiver == "zap" {
				ast.Walk(g, field)
				continue
			}
		}
		visitor := &collector{where: g.where, logged: true}
		ast.Walk(visitor, argument)
		g.all = append(g.all, visitor.all...)
	}
	return nil
}

// calleeName returns the name of the called function, and of its package or receiver, if there is one.
func calleeName(function ast.Expr) (receiver, name string) {
	switch function := function.(type) {
	case *ast.Ident:
		return "", function.Name
	case *ast.SelectorExpr:
		_, receiver = calleeName(function.X)
		return receiver, function.Sel.Name
	}
	return "", ""
}

// constantString returns the value of a string literal, or of a sum of them.
func constantString(expr ast.Expr) (text string, ok bool) {
	switch expr := expr.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(expr.Value)
		return text, expr.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		left, okLeft := constantString(expr.X)
		right, okRight := constantString(expr.Y)
		return left + right, expr.Op == token.ADD && okLeft && okRight
	}
	return "", false
}

var (
	formatVerb = regexp.MustCompile(`%[-+# 0]*[0-9.]*(?:\[[0-9]+\])?[a-zA-Z]`)
	letter     = regexp.MustCompile(`[a-zA-Z]`)
)

// sentences returns the sentences of a message, without its variable parts.
func sentences(m message) []string {
	var all []string
	for part := range strings.SplitSeq(formatVerb.ReplaceAllString(m.text, "\n"), "\n") {
		for sentence := range strings.SplitAfterSeq(part, ". ") {
			sentence = strings.Trim(sentence, " ():;,\"")
			words := 0
			for field := range strings.FieldsSeq(sentence) {
				if letter.MatchString(field) {
					words++
				}
			}
			if words >= 3 || m.logged && words > 0 {
				all = append(all, sentence)
			}
		}
	}
	return all
}

// docs/check.md has the text of every step that may fail, apart from those that package neterr and the login server provide.
func TestCheckDocsHaveEveryFailure(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../internal/check/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range append(files, "check_listen.go") {
		for _, m := range failures(t, file) {
			for _, sentence := range sentences(m) {
				if found++; !strings.Contains(string(page), sentence) {
					t.Errorf("%s has a failure that docs/check.md does not explain:\n%s", m.where, sentence)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("got %d sentences in the sources, want at least 20", found)
	}
}

// failures returns the texts of the calls of Failed in a file.
func failures(t *testing.T, file string) []message {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	visitor := &collector{where: func(at token.Pos) string { return set.Position(at).String() }}
	ast.Inspect(parsed, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok && !strings.HasSuffix(file, "_test.go") {
			if _, name := calleeName(call.Fun); name == "Failed" && len(call.Args) == 4 {
				ast.Walk(visitor, call.Args[2])
			}
		}
		return true
	})
	return visitor.all
}
