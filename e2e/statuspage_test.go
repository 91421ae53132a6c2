package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etrusted-broker/internal/brokertest"
)

// TestStatusPageShowsCallers: what is wrong with a caller must be visible above all while none can be used.
func TestStatusPageShowsCallers(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	defer p.wantNoBrowserErrors()
	servers := startTestServers(t, time.Minute)
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"shop/key": "\n"})
	b := servers.startBroker(t, "BROKER_CALLERS_DIR="+dir)
	p.open(b.adminURL, desktop)
	p.wantShown("heading", "Callers")
	p.wantShown("StaticText", `caller "shop": `+filepath.Join(dir, "shop", "key")+" is empty; the caller is refused")
	writeFiles(t, dir, map[string]string{"shop/key": "key"})
	p.wantShown("rowheader", "shop")
	p.wantCopied("Copy the curl command of shop", `curl -H "Authorization: Bearer $(head -n 1 `+filepath.Join(dir, "shop", "key")+`)" `+b.appURL+"/channels")
}

func TestStatusPageShowsRefreshOfTheToken(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	defer p.wantNoBrowserErrors()
	servers := startTestServers(t, time.Minute)
	gate, volume := newLoginGate(t, servers), newSecretVolume(t, servers.login.currentSecret())
	b := servers.startReadyBroker(t, append(volume.environ(), "ETRUSTED_TOKEN_URL="+gate.url)...)
	for range 3 {
		b.get(b.appURL + "/channels")
	}
	p.open(b.adminURL, desktop)
	p.wantLandmarks()
	p.wantShown("heading", "Everything works.")
	p.wantState("healthy")
	p.wantShown("image", "1 token request in the last hour, none failed")
	p.wantShown("rowheader", "2xx")
	for _, row := range []string{"Login server", "Token", "API"} {
		p.wantShown("rowheader", row)
	}
	for _, text := range []string{"It issues tokens.", "It is valid.", "It answers."} {
		p.wantShown("StaticText", text)
	}
	p.wantCopied("Copy "+b.appURL, b.appURL)
	p.wantCopied("Copy the curl command", "curl "+b.appURL+"/channels")
	p.click("switch", "Show those with default values too")
	p.wantShown("StaticText", "BROKER_LOG_LEVEL")
	p.wantCopied("Copy report for support", "{\n  \"state\": \"working\"")
	p.wantInEveryView("healthy", "Everything works.", b)

	// The bar moves and its text changes without a reload. The page updates the bar more often than the data.
	p.open(b.adminURL, desktop)
	p.eval("window.notReloaded = true")
	p.wantShown("progressbar", "Remaining token lifetime of default")
	left, text := p.lifetimeBar()
	brokertest.Eventually(t, "the bar moves between two updates of the data", func() bool {
		leftBefore, textBefore := left, text
		left, text = p.lifetimeBar()
		return left < leftBefore && text == textBefore
	})
	brokertest.Eventually(t, "the text changes", func() bool {
		_, now := p.lifetimeBar()
		return now != text
	})

	// The broker tries a new secret while the old token is in use.
	release := gate.hold()
	defer release()
	rotated := servers.newSecret()
	servers.login.setSecret(rotated)
	volume.write(rotated)
	p.wantShown("StaticText", "Refreshing")
	p.wantShown("heading", "Everything works.")
	p.saveScreenshot("status-refreshing")
	left, _ = p.lifetimeBar()
	release()
	p.wantState("healthy")
	p.wantNotShown("StaticText", "Refreshing")
	brokertest.Eventually(t, "the bar is full again", func() bool {
		now, _ := p.lifetimeBar()
		return now > left
	})
	if p.eval("window.notReloaded") != true {
		t.Error("the page was reloaded, want it to update itself")
	}
	b.wantNoSecret("the page", p.eval("document.documentElement.outerHTML").(string))
}

func TestStatusPageShowsOutageAndRecovery(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	defer p.wantNoBrowserErrors()
	servers := startTestServers(t, time.Minute)
	gate := newLoginGate(t, servers)
	gate.setFailing(true)
	b := servers.startBroker(t, "ETRUSTED_TOKEN_URL="+gate.url)
	p.open(b.adminURL, desktop)
	p.eval("window.notReloaded = true")
	p.wantShown("heading", "Requests fail: cannot get a token from the login server.")
	p.wantShown("StaticText", "the login server, or the connection to it")
	p.wantShown("StaticText", "The login server answered 503 Service Unavailable.")
	p.wantShown("StaticText", "The broker retries automatically.")
	p.wantShown("StaticText", "No token")
	p.wantShown("StaticText", "It issues no token.")
	p.wantShown("StaticText", "Since ")
	gate.setFailing(false)
	p.wantShown("heading", "Everything works.")
	if p.eval("window.notReloaded") != true {
		t.Error("the page was reloaded, want it to update itself")
	}
	p.wantNotShown("StaticText", "No token")

	gate.setFailing(true) // for the pictures
	b = servers.startBroker(t, "ETRUSTED_TOKEN_URL="+gate.url)
	brokertest.Eventually(t, "an attempt fails", func() bool { return b.metric("token_consecutive_failures") > 0 })
	p.wantInEveryView("outage", "Requests fail: cannot get a token from the login server.", b)
}

func TestStatusPageShowsRejectedCredentials(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	defer p.wantNoBrowserErrors()
	servers := startTestServers(t, time.Minute)
	b := servers.startBroker(t, "ETRUSTED_CLIENT_SECRET="+servers.newSecret())
	p.open(b.adminURL, desktop)
	p.wantLandmarks()
	p.wantShown("heading", "Requests fail: the credentials do not work.")
	p.wantShown("StaticText", "Client ID or Client Secret")
	p.wantShown("StaticText", "In the eTrusted Control Centre (Settings")
	p.wantShown("StaticText", "Credentials rejected")
	p.wantShown("StaticText", "It rejects the credentials.")
	p.wantInEveryView("rejected", "Requests fail: the credentials do not work.", b)

	waiting := servers.startBroker(t, "ETRUSTED_CLIENT_SECRET=", "ETRUSTED_CLIENT_SECRET_FILE="+filepath.Join(t.TempDir(), "client_secret"))
	p.open(waiting.adminURL, desktop)
	p.wantShown("StaticText", "Credentials cannot be read")
	p.wantNotShown("StaticText", "Credentials rejected")

	// The first screen of a phone says what is wrong, since when, and what to do.
	p.open(b.adminURL, phone)
	p.wantShown("heading", "Requests fail: the credentials do not work.")
	if bottom := p.eval("document.querySelector('.advice').getBoundingClientRect().bottom").(float64); bottom > float64(phone.height) {
		t.Errorf("the advice ends at %v px, want at most %d", bottom, phone.height)
	}
	b.wantNoSecret("the page", p.eval("document.documentElement.outerHTML").(string))
}

// TestStatusPageShowsRefusedRequests: the page names the last requests that were refused or failed, as text, whatever they contain.
func TestStatusPageShowsRefusedRequests(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	defer p.wantNoBrowserErrors()
	servers := startTestServers(t, time.Minute)
	b := servers.startReadyBroker(t, "BROKER_ALLOW=GET /channels")
	p.open(b.adminURL, desktop)
	p.wantShown("StaticText", "None since the start.")
	b.get(b.appURL + "/reviews?secret=1")
	b.get(b.appURL + "/%3Cimg%20src=x%20onerror=alert(1)%3E")
	p.wantShown("heading", "The broker refuses requests.")
	p.wantShown("StaticText", "what the app sends")
	p.wantShown("table", "Last refused or failed requests")
	p.wantShown("StaticText", "GET /reviews")
	p.wantShown("StaticText", "GET /%3Cimg%20src=x%20onerror=alert(1)%3E")
	p.wantShown("StaticText", "BROKER_ALLOW does not include GET /reviews.")
	p.wantShown("StaticText", "If the app needs it, add \"GET /reviews\".")
	if text := p.eval("document.body.textContent").(string); strings.Contains(text, "secret") && strings.Contains(text, "secret=1") {
		t.Error("the page shows the query of a request, want only the path")
	}
	p.eval(`update(viewOf({...current, summary: '<img src=x onerror="window.marked = true">', failures: [{...current.failures[0], path: '/<b>bold</b>', reason: '<script>window.marked = true</' + 'script>'}]}))`)
	if got := p.eval("document.querySelectorAll('main img, main b:not([data-text] b):not(p > b), main script').length + (window.marked ? 1 : 0)"); got != 0.0 {
		t.Errorf("got %v elements made of texts, want none", got)
	}
	p.wantInEveryView("refused", "The broker refuses requests.", b)

	// The code leads to its place in the guide.
	p.click("link", "not-in-allow-list")
	p.wantShown("StaticText", "# Troubleshooting")
	brokertest.Eventually(t, "the guide is scrolled to the code", func() bool { return p.eval("scrollY").(float64) > 1000 })
}

func TestStatusPageLeadsToDataWithoutScripts(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	defer p.wantNoBrowserErrors()
	servers := startTestServers(t, time.Minute)
	b := servers.startBroker(t)
	p.open(b.adminURL, viewMode{width: desktop.width, height: desktop.height, noScripts: true})
	p.wantShown("StaticText", "This page needs JavaScript.")
	p.wantShown("link", "/status.json")
	p.wantShown("link", "/readyz")
	p.wantNotShown("main", "")
	p.wantNotShown("heading", "")
	p.saveScreenshot("status-without-scripts")
}

func TestStatusPageShowsSeveralAccounts(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	defer p.wantNoBrowserErrors()
	servers := startTestServers(t, time.Minute)
	dir := t.TempDir()
	writeFiles(t, dir, account("shop-at", servers.newSecret())) // a wrong one
	writeFiles(t, dir, account("shop-de", servers.login.currentSecret()))
	b := servers.startReadyBroker(t, "ETRUSTED_ACCOUNTS_DIR="+dir)
	p.open(b.adminURL, desktop)
	p.wantShown("heading", "Requests of the account shop-at fail: the credentials do not work.")
	if first := p.eval("document.querySelector('article h3').textContent"); first != "shop-at" {
		t.Errorf("the first account is %v, want shop-at, which needs attention", first)
	}
	p.wantShown("StaticText", "It rejects the credentials. This affects 1 of 3 accounts.")
	p.wantShown("button", "Copy "+b.appURL+"/@shop-de")
	for _, name := range []string{"default", "shop-at", "shop-de"} {
		p.wantShown("progressbar", "Remaining token lifetime of "+name)
	}
	p.wantInEveryView("several-accounts", "Requests of the account shop-at fail: the credentials do not work.", b)

	// A new account appears without a reload.
	p.open(b.adminURL, desktop)
	writeFiles(t, dir, account("shop-fr", servers.login.currentSecret()))
	p.wantShown("heading", "shop-fr")
}

// TestStatusPageSaysThatTheBrokerIsGone: the page must say that its data is old when the broker no longer responds.
func TestStatusPageSaysThatTheBrokerIsGone(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	defer p.wantNoBrowserErrors()
	servers := startTestServers(t, time.Minute)
	b := servers.startReadyBroker(t)
	p.open(b.adminURL, desktop)
	p.wantShown("heading", "Everything works.")
	p.wantNotShown("alert", "No response")
	b.stop()
	p.wantShown("alert", "")
	p.wantShown("StaticText", "No response from the broker since ")
	p.saveScreenshot("status-gone")
}

// TestStatusPageHasNoInlineStyles proves that wantNoBrowserErrors can fail: the browser blocks and reports what the policy forbids.
func TestStatusPageHasNoInlineStyles(t *testing.T) {
	t.Parallel()
	p := openTab(t)
	servers := startTestServers(t, time.Minute)
	b := servers.startBroker(t)
	p.open(b.adminURL, desktop)
	before := len(p.browserErrors())
	p.eval(`document.body.setAttribute('style', 'display: none')`)
	brokertest.Eventually(t, "the browser reports the inline style", func() bool { return len(p.browserErrors()) > before })
	if got := p.eval(`getComputedStyle(document.body).display`); got != "block" {
		t.Errorf("display of the body: got %v, want block: the inline style must have no effect", got)
	}
}

// wantState waits until the first account has this state. The label is no proof of that: a heading starts with "Healthy" too.
func (p *tab) wantState(state string) {
	p.t.Helper()
	brokertest.Eventually(p.t, "the account is "+state, func() bool {
		return p.eval("document.querySelector('article')?.dataset.state") == state
	})
}

// wantInEveryView checks a broker's page on a desktop and on a phone, with the light and the dark theme.
func (p *tab) wantInEveryView(state, heading string, b *broker) {
	p.t.Helper()
	for name, as := range map[string]viewMode{"": desktop, "-dark": dark, "-phone": phone} {
		p.open(b.adminURL, as)
		p.wantShown("heading", heading)
		if width, _ := p.pageSize(); width > float64(as.width) {
			p.t.Errorf("%s%s: the page is %v px wide, want at most the window's %d", state, name, width, as.width)
		}
		if isDark := p.eval("getComputedStyle(document.documentElement).getPropertyValue('--page').trim() !== '#f5f6f8'"); isDark != as.dark {
			p.t.Errorf("%s%s: dark theme: got %v, want %v", state, name, isDark, as.dark)
		}
		p.saveScreenshot("status-" + state + name)
	}
}

// click clicks the element with this role and name, as a user would.
func (p *tab) click(role, name string) {
	p.t.Helper()
	var resolved struct{ Object struct{ ObjectID string } }
	p.call("DOM.resolveNode", map[string]any{"backendNodeId": p.wantShown(role, name).BackendDOMNodeID}, &resolved)
	p.call("Runtime.callFunctionOn", map[string]any{
		"objectId": resolved.Object.ObjectID, "functionDeclaration": "function() { this.click() }", "userGesture": true,
	}, nil)
}

// wantCopied clicks a button and checks what it has copied.
func (p *tab) wantCopied(button, prefix string) {
	p.t.Helper()
	p.eval("addEventListener('copy', () => { window.copied = document.activeElement.value }, {once: true})")
	p.click("button", button)
	if got, _ := p.eval("window.copied").(string); !strings.HasPrefix(got, prefix) {
		p.t.Errorf("the button %q copied %q, want %q", button, got, prefix)
	}
}

// wantLandmarks waits for the elements that the page has in every state.
func (p *tab) wantLandmarks() {
	p.t.Helper()
	for role, name := range map[string]string{
		"banner": "", "main": "", "contentinfo": "", "navigation": "Other pages", "region": "Verdict", "status": "",
		"table": "What requests depend on", "button": "Copy report for support", "progressbar": "Remaining token lifetime of default", "link": "/status.json",
	} {
		p.wantShown(role, name)
	}
}

// lifetimeBar returns the remaining lifetime that the first progress bar shows, in seconds and as text.
func (p *tab) lifetimeBar() (seconds float64, text string) {
	p.t.Helper()
	got := p.eval("(bar => [bar.value, bar.getAttribute('aria-valuetext')])(document.querySelector('progress'))").([]any)
	return got[0].(float64), got[1].(string)
}

// browserErrors returns the errors that the browser reported, and what it blocked because of the page's policy.
func (p *tab) browserErrors() (reports []string) {
	p.t.Helper()
	p.eval("0") // its result arrives after all that was reported before
	for _, event := range p.eventsOf("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Audits.issueAdded") {
		reports = append(reports, event.Method+" "+string(event.Params))
	}
	return reports
}

func (p *tab) wantNoBrowserErrors() {
	p.t.Helper()
	for _, report := range p.browserErrors() {
		// The page may send a request to a broker that has stopped. The guide is plain text, for which the browser asks for an icon by
		// itself.
		if !strings.Contains(report, "net::ERR_CONNECTION_REFUSED") && !strings.Contains(report, "/favicon.ico") {
			p.t.Error(report)
		}
	}
}
