package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// gate stands before the OP's token endpoint, and opens or not as the test wants.
type gate struct {
	url  string
	next string
	way  *http.Client

	mu    sync.Mutex
	shut  bool
	holds chan struct{} // closed when what is held may go on; nil: nothing is held
}

func newGate(t *testing.T, w *world) *gate {
	t.Helper()
	g := &gate{next: w.login.tokenURL(), way: w.authority.client(t)}
	g.url = w.authority.serve(t, func(string) http.Handler { return g }) + "/oauth/token"
	return g
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	shut, holds := g.shut, g.holds
	g.mu.Unlock()
	if holds != nil {
		<-holds
	}
	if shut {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	response, err := g.way.Post(g.next, r.Header.Get("Content-Type"), r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = response.Body.Close() }()
	w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, response.Body)
}

func (g *gate) setShut(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
}

// hold keeps token requests waiting until release is called.
func (g *gate) hold() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds = make(chan struct{})
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		close(g.holds)
		g.holds = nil
	})
}

// TestStatusPage checks in a browser that the page shows the broker's state, by roles and names as a screen reader finds them.
// It keeps a screenshot of each state for visual checks.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	needChromium(t)
	p := openTab(t)
	t.Run("healthy, refreshing, healthy", func(t *testing.T) { p.in(t).testRefreshing() })
	t.Run("outage, and over", func(t *testing.T) { p.in(t).testOutage() })
	t.Run("rejected", func(t *testing.T) { p.in(t).testRejected() })
	t.Run("several accounts", func(t *testing.T) { p.in(t).testSeveral() })
	t.Run("nothing was refused or went wrong in the browser", func(t *testing.T) { p.in(t).wantNoComplaints() })
	t.Run("the broker is gone", func(t *testing.T) { p.in(t).testGone() })
	t.Run("control: the policy is in force", func(t *testing.T) { p.in(t).testPolicy() })
}

func (p *tab) testRefreshing() {
	w := newWorld(p.t, time.Minute)
	gate, volume := newGate(p.t, w), newSecretVolume(p.t, w.login.currentSecret())
	b := w.start(p.t, "ETRUSTED_TOKEN_URL="+gate.url, "ETRUSTED_CLIENT_ID_FILE="+volume.path("client_id"), "ETRUSTED_CLIENT_SECRET_FILE="+volume.path("client_secret"))
	b.wait()
	for range 3 {
		b.get(b.app + "/channels")
	}
	p.open(b.admin, onDesk)
	p.wantWhole()
	p.wantShown("heading", "Everything works.")
	p.wantState("healthy")
	p.wantShown("image", "1 token request in the last hour, none failed")
	p.wantShown("rowheader", "2xx")
	p.wantAll("healthy", "Everything works.", b)

	// The bar moves, and the words, and it is the same page all the while.
	p.open(b.admin, onDesk)
	p.value("window.same = true")
	left, words := p.bar()
	eventually(p.t, patience, "the bar moves, before there are new facts", func() bool {
		var now string
		before := left
		left, now = p.bar()
		moved := left < before && now == words
		words = now
		return moved
	})
	eventually(p.t, patience, "the words change", func() bool { _, now := p.bar(); return now != words })

	// A new secret is tried while the old token serves.
	release := gate.hold()
	defer release()
	rotated := w.newSecret()
	w.login.setSecret(rotated)
	volume.write(rotated)
	p.wantShown("StaticText", "Refreshing")
	p.wantShown("heading", "Everything works.")
	p.photograph("status-refreshing")
	left, _ = p.bar()
	release()
	p.wantState("healthy")
	if p.shows("StaticText", "Refreshing") {
		p.t.Error("the page shows two states")
	}
	eventually(p.t, patience, "the bar is full again", func() bool { now, _ := p.bar(); return now > left })
	if p.value("window.same") != true {
		p.t.Error("the page was reloaded: it should update itself")
	}
	b.holdsNoSecret("the page", p.value("document.documentElement.outerHTML").(string))
}

func (p *tab) testOutage() {
	w := newWorld(p.t, time.Minute)
	gate := newGate(p.t, w)
	gate.setShut(true)
	b := w.start(p.t, "ETRUSTED_TOKEN_URL="+gate.url, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret())
	p.open(b.admin, onDesk)
	p.value("window.same = true")
	p.wantShown("heading", "Requests fail: cannot get a token from the login server.")
	p.wantShown("StaticText", "the login server, or the connection to it")
	p.wantShown("StaticText", "The login server answered 503 Service Unavailable.")
	p.wantShown("StaticText", "The broker retries automatically.")
	p.wantShown("heading", "Needs attention (1)")
	p.wantShown("StaticText", "No token")
	gate.setShut(false)
	p.wantShown("heading", "Everything works.")
	p.wantShown("heading", "Healthy (1)")
	if p.value("window.same") != true {
		p.t.Error("the page was reloaded: it should update itself")
	}
	if p.shows("heading", "Needs attention (1)") || p.shows("StaticText", "No token") {
		p.t.Error("the page still shows the outage")
	}

	gate.setShut(true) // for the pictures
	b = w.start(p.t, "ETRUSTED_TOKEN_URL="+gate.url, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret())
	eventually(p.t, patience, "an attempt fails", func() bool { return b.metric("token_consecutive_failures") > 0 })
	p.wantAll("outage", "Requests fail: cannot get a token from the login server.", b)
}

func (p *tab) testRejected() {
	w := newWorld(p.t, time.Minute)
	b := w.start(p.t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.newSecret())
	p.open(b.admin, onDesk)
	p.wantWhole()
	p.wantShown("heading", "Requests fail: the credentials do not work.")
	p.wantShown("StaticText", "Client ID or Client Secret")
	p.wantShown("StaticText", "Client ID or Client Secret is wrong. Check in the eTrusted Control Centre")
	p.wantShown("StaticText", "Credentials rejected")
	p.wantAll("rejected", "Requests fail: the credentials do not work.", b)
	b.holdsNoSecret("the page", p.value("document.documentElement.outerHTML").(string))
}

func (p *tab) testSeveral() {
	w := newWorld(p.t, time.Minute)
	folder := p.t.TempDir()
	account := func(name, secret string) {
		path := filepath.Join(folder, name)
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
	account("shop-at", w.newSecret()) // a wrong one
	account("shop-de", w.login.currentSecret())
	b := w.start(p.t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret(), "ETRUSTED_ACCOUNTS_DIR="+folder)
	b.wait()
	p.open(b.admin, onDesk)
	p.wantShown("heading", "Requests of the account shop-at fail: the credentials do not work.")
	p.wantShown("heading", "Needs attention (1)")
	p.wantShown("heading", "Healthy (2)")
	for _, name := range []string{"default", "shop-at", "shop-de"} {
		p.wantShown("progressbar", "Remaining token lifetime of "+name)
	}
	p.wantAll("several-accounts", "Requests of the account shop-at fail: the credentials do not work.", b)

	// An account that comes is shown without being asked for.
	p.open(b.admin, onDesk)
	account("shop-fr", w.login.currentSecret())
	p.wantShown("heading", "shop-fr")
	p.wantShown("heading", "Healthy (3)")
}

// testGone holds that the page does not go on showing what is no longer so.
func (p *tab) testGone() {
	w := newWorld(p.t, time.Minute)
	b := w.start(p.t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret())
	b.wait()
	p.open(b.admin, onDesk)
	p.wantShown("heading", "Everything works.")
	if p.shows("alert", "") {
		p.t.Error("there is an alert while all is well")
	}
	b.stop()
	p.wantShown("alert", "")
	p.wantShown("StaticText", "No response from the broker since ")
	p.photograph("status-gone")
}

// testPolicy is the control of wantNoComplaints: what the policy forbids is refused, and is seen to be.
func (p *tab) testPolicy() {
	w := newWorld(p.t, time.Minute)
	b := w.start(p.t, "ETRUSTED_CLIENT_ID="+clientID, "ETRUSTED_CLIENT_SECRET="+w.login.currentSecret())
	p.open(b.admin, onDesk)
	before := len(p.complaints())
	p.value(`document.body.setAttribute('style', 'display: none')`)
	eventually(p.t, patience, "the style is refused", func() bool { return len(p.complaints()) > before })
	if got := p.value(`getComputedStyle(document.body).display`); got != "block" {
		p.t.Errorf("an inline style is in force: %v", got)
	}
}

// wantState waits until the first account has this state. The label is no proof of that: a heading starts with "Healthy" too.
func (p *tab) wantState(state string) {
	p.t.Helper()
	eventually(p.t, patience, "the account is "+state, func() bool {
		return p.value("document.querySelector('[data-account]').dataset.state") == state
	})
}

// wantAll looks at a broker's page in the ways in which people may: on a desk and on a phone, in the light and in the dark,
// with scripts and without.
func (p *tab) wantAll(state, heading string, b *broker) {
	p.t.Helper()
	for name, as := range map[string]look{"": onDesk, "-dark": onDesk.inDark().withoutScripts(), "-phone": onPhone} {
		p.open(b.admin, as)
		p.wantShown("heading", heading)
		if width, _ := p.size(); width > float64(as.width) {
			p.t.Errorf("%s%s: the page is %v wide, and the window %d", state, name, width, as.width)
		}
		if dark := p.value("getComputedStyle(document.documentElement).getPropertyValue('--page').trim() !== '#f5f6f8'"); dark != as.dark {
			p.t.Errorf("%s%s: dark is %v", state, name, dark)
		}
		p.wantReload(state+name, !as.scripts)
		p.photograph("status-" + state + name)
	}
}

// wantReload fails the test unless the page refreshes itself, as it must without scripts.
func (p *tab) wantReload(name string, want bool) {
	p.t.Helper()
	got := p.value("document.querySelectorAll('meta[http-equiv=refresh]').length") == 1.0
	if got != want {
		p.t.Errorf("%s: the page refreshes itself: %v", name, got)
	}
}

// wantWhole looks for what a page has whatever the broker's state.
func (p *tab) wantWhole() {
	p.t.Helper()
	for role, name := range map[string]string{
		"banner": "", "main": "", "contentinfo": "", "navigation": "Other pages", "region": "Summary", "status": "",
		"table": "Completed requests", "progressbar": "Remaining token lifetime of default", "link": "/status.json",
	} {
		p.wantShown(role, name)
	}
}

// bar is how much of the token's life the page shows to be left: in seconds, and in words.
func (p *tab) bar() (seconds float64, words string) {
	p.t.Helper()
	got := p.value("(bar => [bar.value, bar.getAttribute('aria-valuetext')])(document.querySelector('progress'))").([]any)
	return got[0].(float64), got[1].(string)
}

// complaints are what the browser has to say against the page: errors, and what the policy has refused.
func (p *tab) complaints() []string {
	var complaints []string
	for _, event := range p.seen("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Audits.issueAdded") {
		complaints = append(complaints, event.Method+" "+string(event.Params))
	}
	return complaints
}

func (p *tab) wantNoComplaints() {
	p.t.Helper()
	for _, complaint := range p.complaints() {
		// A page that is left for the next subtest may ask its broker, which is gone, once more.
		if !strings.Contains(complaint, "net::ERR_CONNECTION_REFUSED") {
			p.t.Error(complaint)
		}
	}
}
