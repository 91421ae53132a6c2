package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// viewMode is the window, the colour scheme and the script setting with which a page is opened.
type viewMode struct {
	width, height int
	dark          bool
	scripts       bool
}

var (
	desktop = viewMode{width: 1000, height: 800, scripts: true}
	phone   = viewMode{width: 360, height: 740, scripts: true}
)

func (l viewMode) withDarkTheme() viewMode  { l.dark = true; return l }
func (l viewMode) withoutScripts() viewMode { l.scripts = false; return l }

// open loads a page and waits until it has loaded, including its stylesheet.
func (p *tab) open(url string, as viewMode) {
	p.t.Helper()
	scheme := "light"
	if as.dark {
		scheme = "dark"
	}
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": as.width, "height": as.height, "deviceScaleFactor": 1, "mobile": as.width < 500}, nil)
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	p.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": !as.scripts}, nil)
	loaded := len(p.eventsOf("Page.loadEventFired"))
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	eventually(p.t, waitTimeout, url+" has loaded", func() bool { return len(p.eventsOf("Page.loadEventFired")) > loaded })
}

// eventsOf returns the events with one of these methods, oldest first.
func (p *devtools) eventsOf(methods ...string) []message {
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

// eval evaluates an expression in the page and returns its value. It works even if scripts are disabled.
func (p *tab) eval(expression string) any {
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

// axNode is a node of the accessibility tree, from which screen readers read.
type axNode struct {
	ID      string `json:"nodeId"`
	Parent  string `json:"parentId"`
	Ignored bool

	BackendDOMNodeID int
	Role             struct{ Value string }
	Name             struct{ Value string }
	Value            struct{ Value any }

	Properties []struct {
		Name  string
		Value struct{ Value any }
	}
}

// accessibilityTree returns the whole accessibility tree.
func (p *tab) accessibilityTree() []axNode {
	p.t.Helper()
	var got struct{ Nodes []axNode }
	p.call("Accessibility.getFullAXTree", nil, &got)
	return got.Nodes
}

// shows reports whether the page has an element with this role whose accessible name starts with the text.
func (p *tab) shows(role, text string) bool {
	p.t.Helper()
	for _, n := range p.accessibilityTree() {
		if !n.Ignored && n.Role.Value == role && strings.HasPrefix(n.Name.Value, text) {
			return true
		}
	}
	return false
}

// wantShown waits until the page shows it. Chromium rebuilds the whole tree for each query, so the interval is longer than in
// eventually.
func (p *tab) wantShown(role, text string) {
	p.t.Helper()
	for deadline := time.Now().Add(waitTimeout); !p.shows(role, text); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("not within %v: the page shows the %s %q", waitTimeout, role, text)
		}
	}
}

// pageSize returns the size of the whole page.
func (p *tab) pageSize() (width, height float64) {
	p.t.Helper()
	var got struct {
		CSSContentSize struct{ Width, Height float64 } `json:"cssContentSize"`
	}
	p.call("Page.getLayoutMetrics", nil, &got)
	return got.CSSContentSize.Width, got.CSSContentSize.Height
}

// saveScreenshot saves a picture of the whole page in the artifacts directory.
func (p *tab) saveScreenshot(name string) {
	p.t.Helper()
	width, height := p.pageSize()
	p.screenshot(filepath.Join(artifactsDir(p.t), name+".png"), width, min(height, 6000))
}

// screenshot saves a picture of the top left part of the page with that size.
func (p *tab) screenshot(path string, width, height float64) {
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

// artifactsDir returns the directory for the pictures, and creates it.
func artifactsDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("E2E_ARTIFACTS")
	if dir == "" {
		dir = "artifacts"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
