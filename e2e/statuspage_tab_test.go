package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"etrusted-broker/internal/brokertest"
)

// viewMode is the window, the colour scheme and the script setting with which a page is opened.
type viewMode struct {
	width, height int
	dark          bool
	noScripts     bool
}

var (
	desktop = viewMode{width: 1000, height: 800}
	dark    = viewMode{width: 1000, height: 800, dark: true}
	phone   = viewMode{width: 360, height: 740}
)

// open loads a page and waits until it has loaded, including its stylesheet.
func (p *tab) open(url string, as viewMode) {
	p.t.Helper()
	scheme := map[bool]string{false: "light", true: "dark"}[as.dark]
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": as.width, "height": as.height, "deviceScaleFactor": 1, "mobile": as.width < 500}, nil)
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	p.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": as.noScripts}, nil)
	loaded := len(p.eventsOf("Page.loadEventFired"))
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	for len(p.eventsOf("Page.loadEventFired")) == loaded {
		p.events = append(p.events, p.receive())
	}
}

// eventsOf returns the events with one of these methods that have been received, oldest first.
func (p *tab) eventsOf(methods ...string) []message {
	return slices.DeleteFunc(slices.Clone(p.events), func(event message) bool { return !slices.Contains(methods, event.Method) })
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
	Ignored          bool
	BackendDOMNodeID int
	Role, Name       struct{ Value string }
}

// find returns the first node of the accessibility tree with this role whose name starts with the text, or nil.
func (p *tab) find(role, text string) *axNode {
	p.t.Helper()
	var tree struct{ Nodes []axNode }
	p.call("Accessibility.getFullAXTree", nil, &tree)
	for _, n := range tree.Nodes {
		if !n.Ignored && n.Role.Value == role && strings.HasPrefix(n.Name.Value, text) {
			return &n
		}
	}
	return nil
}

// wantShown waits until the page shows it, and returns its node.
func (p *tab) wantShown(role, text string) (node *axNode) {
	p.t.Helper()
	brokertest.Eventually(p.t, fmt.Sprintf("the page shows the %s %q", role, text), func() bool {
		node = p.find(role, text)
		return node != nil
	})
	return node
}

// wantNotShown fails the test if the page shows it.
func (p *tab) wantNotShown(role, text string) {
	p.t.Helper()
	if p.find(role, text) != nil {
		p.t.Errorf("the page shows the %s %q, want it not to", role, text)
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

// saveScreenshot saves a picture of the whole page in E2E_ARTIFACTS.
func (p *tab) saveScreenshot(name string) {
	p.t.Helper()
	dir := cmp.Or(os.Getenv("E2E_ARTIFACTS"), "artifacts")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		p.t.Fatal(err)
	}
	width, height := p.pageSize()
	p.screenshot(filepath.Join(dir, name+".png"), width, min(height, 6000))
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
