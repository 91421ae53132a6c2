package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// look is how a page is looked at.
type look struct {
	width, height int
	dark          bool
	scripts       bool
}

var (
	onDesk  = look{width: 1000, height: 800, scripts: true}
	onPhone = look{width: 360, height: 740, scripts: true}
)

func (l look) inDark() look         { l.dark = true; return l }
func (l look) withoutScripts() look { l.scripts = false; return l }

// open loads a page and waits until it is there, stylesheet and all.
func (p *tab) open(url string, as look) {
	p.t.Helper()
	scheme := "light"
	if as.dark {
		scheme = "dark"
	}
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": as.width, "height": as.height, "deviceScaleFactor": 1, "mobile": as.width < 500}, nil)
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	p.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": !as.scripts}, nil)
	loaded := len(p.seen("Page.loadEventFired"))
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	eventually(p.t, patience, url+" is loaded", func() bool { return len(p.seen("Page.loadEventFired")) > loaded })
}

// seen returns the events of these methods, oldest first.
func (p *devtools) seen(methods ...string) []message {
	p.mu.Lock()
	defer p.mu.Unlock()
	var events []message
	for _, event := range p.events {
		for _, method := range methods {
			if event.Method == method {
				events = append(events, event)
			}
		}
	}
	return events
}

// value evaluates an expression in the page and returns its value. That works where the page's own scripts do not run.
func (p *tab) value(expression string) any {
	p.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &got)
	if got.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", expression, got.ExceptionDetails)
	}
	return got.Result.Value
}

// axNode is a node of the accessibility tree, as a screen reader sees it.
type axNode struct {
	ID      string `json:"nodeId"`
	Parent  string `json:"parentId"`
	Ignored bool
	Role    struct{ Value string }
	Name    struct{ Value string }
	Value   struct{ Value any }

	Properties []struct {
		Name  string
		Value struct{ Value any }
	}
}

// tree returns the whole accessibility tree.
func (p *tab) tree() []axNode {
	p.t.Helper()
	var got struct{ Nodes []axNode }
	p.call("Accessibility.getFullAXTree", nil, &got)
	return got.Nodes
}

// shows reports whether there is something of that role whose name is, or begins with, that text.
func (p *tab) shows(role, text string) bool {
	p.t.Helper()
	for _, node := range p.tree() {
		if !node.Ignored && node.Role.Value == role && strings.HasPrefix(node.Name.Value, text) {
			return true
		}
	}
	return false
}

// wantShown waits until the page shows it. It polls slowly, because Chromium rebuilds the whole tree each time.
func (p *tab) wantShown(role, text string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !p.shows(role, text); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("not within %v: the page shows a %s %q", patience, role, text)
		}
	}
}

// size is that of the whole page.
func (p *tab) size() (width, height float64) {
	p.t.Helper()
	var got struct {
		CSSContentSize struct{ Width, Height float64 } `json:"cssContentSize"`
	}
	p.call("Page.getLayoutMetrics", nil, &got)
	return got.CSSContentSize.Width, got.CSSContentSize.Height
}

// photograph keeps a picture of the whole page in the folder of artifacts.
func (p *tab) photograph(name string) {
	p.t.Helper()
	width, height := p.size()
	p.clip(filepath.Join(artifacts(p.t), name+".png"), width, min(height, 6000))
}

func (p *tab) clip(path string, width, height float64) {
	p.t.Helper()
	var got struct{ Data []byte }
	p.call("Page.captureScreenshot", map[string]any{
		"captureBeyondViewport": true,
		"clip":                  map[string]any{"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
	}, &got)
	if err := os.WriteFile(path, got.Data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// artifacts is the folder for what people are to look at.
func artifacts(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("E2E_ARTIFACTS")
	if folder == "" {
		folder = "artifacts"
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}
