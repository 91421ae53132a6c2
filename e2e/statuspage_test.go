package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStatusPageShowsBrokerState opens the status page in a browser and checks it by roles and names, as a screen reader
// would find them. It saves a picture of each state for people to look at.
func TestStatusPageShowsBrokerState(t *testing.T) {
	t.Parallel()
	needChromium(t)
	p := openTab(t)
	t.Run("healthy, refreshing, healthy", func(t *testing.T) { p.forTest(t).testRefreshing() })
	t.Run("outage, recovery", func(t *testing.T) { p.forTest(t).testOutage() })
	t.Run("rejected", func(t *testing.T) { p.forTest(t).testRejected() })
	t.Run("several accounts", func(t *testing.T) { p.forTest(t).testSeveralAccounts() })
	t.Run("no errors in the browser", func(t *testing.T) { p.forTest(t).wantNoBrowserErrors() })
	t.Run("the broker is gone", func(t *testing.T) { p.forTest(t).testBrokerGone() })
	t.Run("the content security policy is enforced", func(t *testing.T) { p.forTest(t).testContentSecurityPolicy() })
}

func (p *tab) testRefreshing() {
	servers := startTestServers(p.t, time.Minute)
	gate, volume := newLoginGate(p.t, servers), newSecretVolume(p.t, servers.login.currentSecret())
	b := servers.startBroker(p.t, "ETRUSTED_TOKEN_URL="+gate.url, "ETRUSTED_CLIENT_ID_FILE="+volume.path("client_id"), "ETRUSTED_CLIENT_SECRET_FILE="+volume.path("client_secret"))
	b.waitForToken()
	for range 3 {
		b.get(b.appURL + "/channels")
	}
	p.open(b.adminURL, desktop)
	p.wantLandmarks()
	p.wantShown("heading", "Everything works.")
	p.wantState("healthy")
	p.wantShown("image", "1 token request in the last hour, none failed")
	p.wantShown("rowheader", "2xx")
	p.wantInEveryView("healthy", "Everything works.", b)

	// The bar moves and its text changes without a reload. The page updates the bar more often than the data.
	p.open(b.adminURL, desktop)
	p.eval("window.notReloaded = true")
	left, text := p.lifetimeBar()
	eventually(p.t, waitTimeout, "the bar moves between two updates of the data", func() bool {
		leftBefore, textBefore := left, text
		left, text = p.lifetimeBar()
		return left < leftBefore && text == textBefore
	})
	eventually(p.t, waitTimeout, "the text changes", func() bool { _, now := p.lifetimeBar(); return now != text })

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
	if p.shows("StaticText", "Refreshing") {
		p.t.Error("the page shows \"Refreshing\" next to \"Healthy\"")
	}
	eventually(p.t, waitTimeout, "the bar is full again", func() bool { now, _ := p.lifetimeBar(); return now > left })
	if p.eval("window.notReloaded") != true {
		p.t.Error("the page was reloaded, want it to update itself")
	}
	b.wantNoSecret("the page", p.eval("document.documentElement.outerHTML").(string))
}

func (p *tab) testOutage() {
	servers := startTestServers(p.t, time.Minute)
	gate := newLoginGate(p.t, servers)
	gate.setFailing(true)
	b := servers.startBroker(p.t, "ETRUSTED_TOKEN_URL="+gate.url, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+servers.login.currentSecret())
	p.open(b.adminURL, desktop)
	p.eval("window.notReloaded = true")
	p.wantShown("heading", "Requests fail: cannot get a token from the login server.")
	p.wantShown("StaticText", "the login server, or the connection to it")
	p.wantShown("StaticText", "The login server answered 503 Service Unavailable.")
	p.wantShown("StaticText", "The broker retries automatically.")
	p.wantShown("heading", "Needs attention (1)")
	p.wantShown("StaticText", "No token")
	gate.setFailing(false)
	p.wantShown("heading", "Everything works.")
	p.wantShown("heading", "Healthy (1)")
	if p.eval("window.notReloaded") != true {
		p.t.Error("the page was reloaded, want it to update itself")
	}
	if p.shows("heading", "Needs attention (1)") || p.shows("StaticText", "No token") {
		p.t.Error("the page still shows the outage after it is over")
	}

	gate.setFailing(true) // for the pictures
	b = servers.startBroker(p.t, "ETRUSTED_TOKEN_URL="+gate.url, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+servers.login.currentSecret())
	eventually(p.t, waitTimeout, "an attempt fails", func() bool { return b.metric("token_consecutive_failures") > 0 })
	p.wantInEveryView("outage", "Requests fail: cannot get a token from the login server.", b)
}

func (p *tab) testRejected() {
	servers := startTestServers(p.t, time.Minute)
	b := servers.startBroker(p.t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+servers.newSecret())
	p.open(b.adminURL, desktop)
	p.wantLandmarks()
	p.wantShown("heading", "Requests fail: the credentials do not work.")
	p.wantShown("StaticText", "Client ID or Client Secret")
	p.wantShown("StaticText", "Client ID or Client Secret is wrong. Check in the eTrusted Control Centre")
	p.wantShown("StaticText", "Credentials rejected")
	p.wantInEveryView("rejected", "Requests fail: the credentials do not work.", b)
	b.wantNoSecret("the page", p.eval("document.documentElement.outerHTML").(string))
}

func (p *tab) testSeveralAccounts() {
	servers := startTestServers(p.t, time.Minute)
	dir := p.t.TempDir()
	account := func(name, secret string) {
		path := filepath.Join(dir, name)
		for _, err := range []error{
			os.MkdirAll(path, 0o700),
			os.WriteFile(filepath.Join(path, "client_secret"), []byte(secret), 0o600),
			os.WriteFile(filepath.Join(path, "client_id"), []byte(clientID), 0o600),
		} {
			if err != nil {
				p.t.Fatal(err)
			}
		}
	}
	account("shop-at", servers.newSecret()) // a wrong one
	account("shop-de", servers.login.currentSecret())
	b := servers.startBroker(p.t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+servers.login.currentSecret(), "ETRUSTED_ACCOUNTS_DIR="+dir)
	b.waitForToken()
	p.open(b.adminURL, desktop)
	p.wantShown("heading", "Requests of the account shop-at fail: the credentials do not work.")
	p.wantShown("heading", "Needs attention (1)")
	p.wantShown("heading", "Healthy (2)")
	for _, name := range []string{"default", "shop-at", "shop-de"} {
		p.wantShown("progressbar", "Remaining token lifetime of "+name)
	}
	p.wantInEveryView("several-accounts", "Requests of the account shop-at fail: the credentials do not work.", b)

	// A new account appears without a reload.
	p.open(b.adminURL, desktop)
	account("shop-fr", servers.login.currentSecret())
	p.wantShown("heading", "shop-fr")
	p.wantShown("heading", "Healthy (3)")
}

// testBrokerGone: the page must say that its data is old when the broker no longer responds.
func (p *tab) testBrokerGone() {
	servers := startTestServers(p.t, time.Minute)
	b := servers.startBroker(p.t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+servers.login.currentSecret())
	b.waitForToken()
	p.open(b.adminURL, desktop)
	p.wantShown("heading", "Everything works.")
	if p.shows("alert", "") {
		p.t.Error("the page shows an alert while everything works")
	}
	b.stop()
	p.wantShown("alert", "")
	p.wantShown("StaticText", "No response from the broker since ")
	p.saveScreenshot("status-gone")
}

// testContentSecurityPolicy proves that wantNoBrowserErrors can fail: the browser blocks and reports what the policy forbids.
func (p *tab) testContentSecurityPolicy() {
	servers := startTestServers(p.t, time.Minute)
	b := servers.startBroker(p.t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+servers.login.currentSecret())
	p.open(b.adminURL, desktop)
	before := len(p.browserErrors())
	p.eval(`document.body.setAttribute('style', 'display: none')`)
	eventually(p.t, waitTimeout, "the browser reports the inline style", func() bool { return len(p.browserErrors()) > before })
	if got := p.eval(`getComputedStyle(document.body).display`); got != "block" {
		p.t.Errorf("display of the body: got %v, want block: the inline style must have no effect", got)
	}
}

// wantState waits until the first account has this state. The label is no proof of that: a heading starts with "Healthy" too.
func (p *tab) wantState(state string) {
	p.t.Helper()
	eventually(p.t, waitTimeout, "the account is "+state, func() bool {
		return p.eval("document.querySelector('[data-account]').dataset.state") == state
	})
}

// wantInEveryView checks a broker's page on a desktop and on a phone, with the light and the dark theme, with and without
// scripts.
func (p *tab) wantInEveryView(state, heading string, b *broker) {
	p.t.Helper()
	for name, as := range map[string]viewMode{"": desktop, "-dark": desktop.withDarkTheme().withoutScripts(), "-phone": phone} {
		p.open(b.adminURL, as)
		p.wantShown("heading", heading)
		if width, _ := p.pageSize(); width > float64(as.width) {
			p.t.Errorf("%s%s: the page is %v px wide, want at most the window's %d", state, name, width, as.width)
		}
		if dark := p.eval("getComputedStyle(document.documentElement).getPropertyValue('--page').trim() !== '#f5f6f8'"); dark != as.dark {
			p.t.Errorf("%s%s: dark theme: got %v, want %v", state, name, dark, as.dark)
		}
		p.wantAutoReload(state+name, !as.scripts)
		p.saveScreenshot("status-" + state + name)
	}
}

// wantAutoReload fails the test unless the page does, or does not, reload itself. It must if no script updates it.
func (p *tab) wantAutoReload(name string, want bool) {
	p.t.Helper()
	got := p.eval("document.querySelectorAll('meta[http-equiv=refresh]').length") == 1.0
	if got != want {
		p.t.Errorf("%s: the page reloads itself: got %v, want %v", name, got, want)
	}
}

// wantLandmarks waits for the elements that the page has in every state.
func (p *tab) wantLandmarks() {
	p.t.Helper()
	for role, name := range map[string]string{
		"banner": "", "main": "", "contentinfo": "", "navigation": "Other pages", "region": "Summary", "status": "",
		"table": "Completed requests", "progressbar": "Remaining token lifetime of default", "link": "/status.json",
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
func (p *tab) browserErrors() []string {
	var reports []string
	for _, event := range p.eventsOf("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Audits.issueAdded") {
		reports = append(reports, event.Method+" "+string(event.Params))
	}
	return reports
}

func (p *tab) wantNoBrowserErrors() {
	p.t.Helper()
	for _, report := range p.browserErrors() {
		// The page of an earlier subtest may send one more request to its broker, which has stopped.
		if !strings.Contains(report, "net::ERR_CONNECTION_REFUSED") {
			p.t.Error(report)
		}
	}
}
