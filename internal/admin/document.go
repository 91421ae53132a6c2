package admin

import (
	"cmp"
	"maps"
	"slices"
)

// The complete status page is written here, so that it needs no script. Elements that change name the value of /status.json
// that they show, and page.js updates them. All texts come from Go.

const pageHead markup = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title data-text="display.title">{}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="page.css">
<script src="page.js" defer></script>
<noscript><meta http-equiv="refresh" content="10"></noscript>
</head>
`

// symbols are the icons of the states: see AccountState.symbol.
const symbols markup = `<svg class="symbols" aria-hidden="true">
  <symbol id="check" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7.5"/><path d="M4.3 8.3l2.6 2.6 4.9-5.6"/></symbol>
  <symbol id="arrows" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7.5"/><path d="M12 8a4 4 0 1 1-1.3-3M11 2.6v2.8H8.2"/></symbol>
  <symbol id="dots" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7.5"/><path d="M3.6 8h1.6m2 0h1.6m2 0h1.6"/></symbol>
  <symbol id="warning" viewBox="0 0 16 16"><path class="shape" d="M8 .8L15.7 15H.3z"/><path d="M8 5.8v4.4m0 1.3v1.5"/></symbol>
  <symbol id="cross" viewBox="0 0 16 16"><path class="shape" d="M4.9.5h6.2l4.4 4.4v6.2l-4.4 4.4H4.9L.5 11.1V4.9z"/><path d="M5 5l6 6m0-6l-6 6"/></symbol>
  <symbol id="key" viewBox="0 0 16 16"><path class="shape" d="M4.9.5h6.2l4.4 4.4v6.2l-4.4 4.4H4.9L.5 11.1V4.9z"/><path d="M7 6.2a2 2 0 1 1-2.8 2.8A2 2 0 0 1 7 6.2l4.8 4.6M9.6 8.8L8.4 10"/></symbol>
  <symbol id="power" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7.5"/><path d="M8 3.2v4.6M5 5.2a4.1 4.1 0 1 0 6 0"/></symbol>
</svg>
`

// writePage writes the page.
func (d *document) writePage(status Status) {
	d.writef(pageHead, status.Display.Title)
	d.writef(`<body data-started="{}">
`, status.Started.Format("2006-01-02T15:04:05.999999999Z07:00"))
	d.writef(symbols)
	d.writef(`
<header>
  <p class="brand">etrusted-broker <span>{}</span></p>
  <p class="lost" id="lost" role="alert" hidden>No response from the broker since <time id="since"></time>. The information below is out of date.</p>
</header>

<main>`, status.Version)
	d.writeDiagnosis(status)
	d.writeFacts(status)
	d.writeAccounts(groupsOf(status.Accounts), status.Display)
	d.writeRequestsOfAll(status)
	d.writeSettings(status.Configuration)
	d.writef(`
</main>

<footer>
  <p>Version {}, revision {}, started {} UTC.</p>
  <nav aria-label="Other pages"><ul>
    <li><a href="status.json">/status.json</a> for programs</li>
    <li><a href="metrics">/metrics</a> for Prometheus</li>
    <li><a href="readyz">/readyz</a> has a token</li>
    <li><a href="healthz">/healthz</a> is running</li>
  </ul></nav>
</footer>
</body>
</html>
`, status.Version, status.Revision, status.Started.Format("2006-01-02 15:04:05"))
}

func (d *document) writeDiagnosis(status Status) {
	d.writef(`
<section class="diagnosis" aria-label="Summary" data-state="{}" data-set="data-state=state">
  <svg class="symbol" aria-hidden="true"><use href="{}" data-set="href=display.symbol"></use></svg>
  <div>
    <div role="status">
      <h1 data-text="summary">{}</h1>
      <p class="cause" data-show="display.cause"{}>Cause: <strong data-text="display.cause">{}</strong></p>
    </div>
    <p data-text="detail" data-show="detail"{}>{}</p>
    <p class="advice"><b>What to do:</b> <span data-text="advice">{}</span></p>
  </div>
</section>
`, status.State, status.Display.Symbol, status.Summary,
		hiddenUnless(status.Display.Cause != ""), status.Display.Cause,
		hiddenUnless(status.Detail != ""), status.Detail, status.Advice)
}

func (d *document) writeFacts(status Status) {
	d.writef(`
<dl class="facts">
  <div><dt>Uptime</dt><dd data-text="display.uptime">{}</dd></div>
  <div><dt>In flight</dt><dd data-text="requests_in_flight">{}</dd></div>
  <div><dt>Requests per second, 1 min</dt><dd data-text="requests.last_minute.per_second">{}</dd></div>
  <div><dt>API latency, 1 min</dt><dd data-text="display.api_time">{}</dd></div>
  <div data-show="display.store"{}><dt>Token store</dt><dd data-text="display.store">{}</dd></div>
</dl>
`, status.Display.Uptime, status.RequestsInFlight, status.Requests.LastMinute.PerSecond, status.Display.APITime,
		hiddenUnless(status.Display.Store != ""), status.Display.Store)
}

func (d *document) writeAccounts(groups groups, display Display) {
	d.writef(`
<section class="accounts" id="attention"{}>
  <h2 data-text="display.needs_attention">{}</h2>`, hiddenUnless(len(groups.NeedsAttention) > 0), display.NeedsAttention)
	for _, one := range groups.NeedsAttention {
		d.writeAccount(one)
	}
	d.writef(`
</section>
<details class="accounts" id="healthy"{}{}>
  <summary><h2 data-text="display.healthy">{}</h2></summary>`,
		attribute("open", groups.HealthyOpen), hiddenUnless(len(groups.Healthy) > 0), display.Healthy)
	for _, one := range groups.Healthy {
		d.writeAccount(one)
	}
	d.writef(`
</details>
`)
}

func (d *document) writeRequestsOfAll(status Status) {
	d.writef(`
<section>
  <h2>Requests</h2>`)
	d.writeRequests(status.Requests)
	d.writef(`
  <div class="pair">`)
	d.writeCounts("Rejected by the broker, since the start", "Reason", "denied", status.Denied)
	d.writeCounts("Retries after 401, since the start", "Outcome", "replays", status.Replays)
	d.writef(`
  </div>
</section>
`)
}

// writeCounts writes a table of the counts that are not 0. name is their name in /status.json.
func (d *document) writeCounts(caption, what, name string, counts map[string]uint64) {
	d.writef(`
    <table>
      <caption>{}</caption>
      <thead><tr><th scope="col">{}</th><th scope="col">Requests</th></tr></thead>
      <tbody>`, caption, what)
	for _, one := range slices.Sorted(maps.Keys(counts)) {
		path, count := name+"."+one, counts[one]
		d.writef(`
      <tr data-show="{}"{}><th scope="row">{}</th><td data-text="{}">{}</td></tr>`,
			path, hiddenUnless(count > 0), reasonLabel(one), path, count)
	}
	d.writef(`
      <tr class="none"><th scope="row">none</th><td>0</td></tr>
      </tbody>
    </table>`)
}

func (d *document) writeSettings(settings []Setting) {
	d.writef(`
<section>
  <h2>Configuration</h2>
  <details>
    <summary>Effective settings (secrets hidden)</summary>
    <dl class="settings">`)
	for _, one := range settings {
		d.writef(`
      <div><dt>{}</dt><dd><code>{}</code> <span class="source">{}</span></dd><dd class="meaning">{}</dd></div>`,
			one.Name, one.Value, one.Source, one.Meaning)
	}
	d.writef(`
    </dl>
  </details>
</section>`)
}

func (d *document) writeAccount(one accountEntry) {
	d.writef(`
<article data-account="{}" data-state="{}" data-set="data-state=state">
<details{}>
  <summary>
    <svg class="symbol" aria-hidden="true"><use href="{}" data-set="href=display.symbol"></use></svg>
    <h3>{}</h3>
    <span class="word" data-text="display.state">{}</span>
    <progress aria-label="Remaining token lifetime of {}" max="{}" value="{}" aria-valuetext="{}"
      data-set="max=token_lifetime_seconds value=token_remaining_seconds aria-valuetext=display.token"></progress>
    <span class="sentence" data-text="summary">{}</span>
  </summary>`,
		one.Account.Account, one.State, attribute("open", one.Open), one.Display.Symbol, one.Account.Account, one.Display.State,
		one.Account.Account, one.TokenLifetimeSeconds, one.TokenRemainingSeconds, one.Display.Token, one.Summary)
	lastError, unused := cmp.Or(one.LastError, &Error{}), cmp.Or(one.UnusedCredentials, &PendingReload{})
	d.writef(`
  <div class="error" data-show="last_error"{}>
    <p><b>Last error</b> (<span data-text="display.last_error_at">{}</span>): <span data-text="last_error.reason">{}</span></p>`,
		hiddenUnless(one.LastError != nil), one.Display.LastErrorAt, lastError.Reason)
	d.writeAdvice("last_error", lastError.Advice, one.Only)
	d.writef(`
  <div class="error" data-show="unused_credentials"{}>
    <p><b>New credentials</b>: <span data-text="unused_credentials.reason">{}</span></p>`,
		hiddenUnless(one.UnusedCredentials != nil), unused.Reason)
	d.writeAdvice("unused_credentials", unused.Advice, one.Only)
	d.writeFactsOf(one)
	if !one.Only {
		d.writef(`
  <details class="more">
    <summary>Requests</summary>`)
		d.writeRequests(one.Requests)
		d.writef(`
  </details>`)
	}
	d.writef(`
</details>
</article>`)
}

// writeAdvice writes the advice of an element, and closes the element. With a single account, the advice is already in the
// summary.
func (d *document) writeAdvice(name, advice string, only bool) {
	if !only {
		d.writef(`
    <p><b>What to do:</b> <span data-text="{}.advice">{}</span></p>`, name, advice)
	}
	d.writef(`
  </div>`)
}

func (d *document) writeFactsOf(one accountEntry) {
	d.writef(`
  <dl class="facts">
    <div><dt>Last refresh</dt><dd data-text="display.last_refresh">{}</dd></div>
    <div><dt>Next refresh</dt><dd data-text="display.next_refresh">{}</dd></div>
    <div><dt>Consecutive failures</dt><dd data-text="consecutive_failures">{}</dd></div>
    <div><dt>Requests that waited for a token</dt><dd data-text="requests_waited">{}</dd></div>
    <div><dt>Tokens replaced after a 401</dt><dd data-text="invalidations">{}</dd></div>
    <div><dt>Credentials</dt><dd data-text="display.credentials">{}</dd></div>
  </dl>
  <figure>
    <svg viewBox="0 0 240 40" preserveAspectRatio="none" role="img" aria-label="{}" data-set="aria-label=display.last_hour">
      <path class="line" d="M0 20h240"/>
      <path class="ok-bars" d="{}" data-set="d=display.ok_bars"/>
      <path class="failed-bars" d="{}" data-set="d=display.failed_bars"/>
    </svg>
    <figcaption><span>an hour ago</span> <span>now</span> <span class="hour" data-text="display.last_hour">{}</span></figcaption>
  </figure>`,
		one.Display.LastRefresh, one.Display.NextRefresh, one.ConsecutiveFailures, one.RequestsWaited, one.Invalidations, one.Display.Credentials,
		one.Display.LastHour, one.Display.OKBars, one.Display.FailedBars, one.Display.LastHour)
}

// writeRequests writes the table of completed requests.
func (d *document) writeRequests(requests Requests) {
	d.writef(`
<table class="requests">
  <caption>Completed requests</caption>
  <thead><tr><td></td><th scope="col">last minute</th><th scope="col">last 5 min</th><th scope="col">since the start</th></tr></thead>
  <tbody>`)
	for _, row := range [...]struct {
		heading markup
		name    string // in /status.json
		of      func(Window) any
	}{
		{"Per second", "per_second", func(w Window) any { return w.PerSecond }},
		{"All", "all", func(w Window) any { return w.All }},
		{"2xx <span>success</span>", "success", func(w Window) any { return w.Success }},
		{"3xx <span>redirect</span>", "redirect", func(w Window) any { return w.Redirect }},
		{"4xx <span>client error</span>", "client_error", func(w Window) any { return w.ClientError }},
		{"5xx <span>server error</span>", "server_error", func(w Window) any { return w.ServerError }},
		{"Client disconnected", "client_closed", func(w Window) any { return w.ClientClosed }},
		{"Answered by the broker", "local", func(w Window) any { return w.Local }},
	} {
		d.writef(`
  <tr><th scope="row">{}</th>`, row.heading)
		d.writeCell("last_minute", row.name, row.of(requests.LastMinute))
		d.writeCell("last_five_minutes", row.name, row.of(requests.LastFiveMinutes))
		d.writeCell("total", row.name, row.of(requests.Total))
		d.writef(`</tr>`)
	}
	d.writef(`
  </tbody>
</table>`)
}

func (d *document) writeCell(window, name string, value any) {
	d.writef(`<td data-text="requests.{}.{}">{}</td>`, window, name, value)
}
