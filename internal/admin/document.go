package admin

import (
	"cmp"
	"maps"
	"slices"
)

// The status page is written here, whole, so that it needs no script. Each element that changes names the fact of
// /status.json that it shows, and page.js puts new ones there; what the words are is decided in Go alone.

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

// symbols are the states' pictures: see State.symbol.
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
  <p class="lost" id="lost" role="alert" hidden>The broker has not answered since <time id="since"></time>. What is below was true then.</p>
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
    <li><a href="status.json">/status.json</a> the same for programs</li>
    <li><a href="metrics">/metrics</a> for Prometheus</li>
    <li><a href="readyz">/readyz</a> is there a token</li>
    <li><a href="healthz">/healthz</a> does it serve</li>
  </ul></nav>
</footer>
</body>
</html>
`, status.Version, status.Revision, status.Started.Format("2006-01-02 15:04:05"))
}

func (d *document) writeDiagnosis(status Status) {
	d.writef(`
<section class="verdict" aria-label="Verdict" data-state="{}" data-set="data-state=state">
  <svg class="symbol" aria-hidden="true"><use href="{}" data-set="href=display.symbol"></use></svg>
  <div>
    <div role="status">
      <h1 data-text="summary">{}</h1>
      <p class="fault" data-show="display.at_fault"{}>At fault: <strong data-text="display.at_fault">{}</strong></p>
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
  <div><dt>Up for</dt><dd data-text="display.uptime">{}</dd></div>
  <div><dt>Requests under way</dt><dd data-text="requests_in_flight">{}</dd></div>
  <div><dt>Requests per second, last minute</dt><dd data-text="requests.last_minute.per_second">{}</dd></div>
  <div><dt>API’s average time, last minute</dt><dd data-text="display.api_time">{}</dd></div>
  <div data-show="display.store"{}><dt>Token store</dt><dd data-text="display.store">{}</dd></div>
</dl>
`, status.Display.Uptime, status.RequestsInFlight, status.Requests.LastMinute.PerSecond, status.Display.APITime,
		hiddenUnless(status.Display.Store != ""), status.Display.Store)
}

func (d *document) writeAccounts(groups groups, display Display) {
	d.writef(`
<section class="accounts" id="troubled"{}>
  <h2 data-text="display.troubled">{}</h2>`, hiddenUnless(len(groups.NeedsAttention) > 0), display.NeedsAttention)
	for _, one := range groups.NeedsAttention {
		d.writeAccount(one)
	}
	d.writef(`
</section>
<details class="accounts" id="fine"{}{}>
  <summary><h2 data-text="display.fine">{}</h2></summary>`,
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
	d.writeCounts("Turned away, since the start", "Why", "denied", status.Denied)
	d.writeCounts("After a 401 of the API, since the start", "What came of it", "replays", status.Replays)
	d.writef(`
  </div>
</section>
`)
}

// writeCounts writes a table of what was counted at all. name is that of the counts in /status.json.
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
    <summary>What is in effect, secrets masked</summary>
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
    <progress aria-label="Life left of the token of {}" max="{}" value="{}" aria-valuetext="{}"
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
    <p><b>The new credentials</b>: <span data-text="unused_credentials.reason">{}</span></p>`,
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

// writeAdvice writes what to do about what an element tells, and the element's end. The advice to an account that is alone is
// the verdict's.
func (d *document) writeAdvice(about, advice string, alone bool) {
	if !alone {
		d.writef(`
    <p><b>What to do:</b> <span data-text="{}.advice">{}</span></p>`, about, advice)
	}
	d.writef(`
  </div>`)
}

func (d *document) writeFactsOf(one accountEntry) {
	d.writef(`
  <dl class="facts">
    <div><dt>Last refresh</dt><dd data-text="display.last_refresh">{}</dd></div>
    <div><dt>Next refresh</dt><dd data-text="display.next_refresh">{}</dd></div>
    <div><dt>Failures in a row</dt><dd data-text="consecutive_failures">{}</dd></div>
    <div><dt>Requests that waited for a token</dt><dd data-text="waits">{}</dd></div>
    <div><dt>Tokens replaced after a 401</dt><dd data-text="invalidations">{}</dd></div>
    <div><dt>Credentials</dt><dd data-text="display.credentials">{}</dd></div>
  </dl>
  <figure>
    <svg viewBox="0 0 240 40" preserveAspectRatio="none" role="img" aria-label="{}" data-set="aria-label=display.last_hour">
      <path class="line" d="M0 20h240"/>
      <path class="stands" d="{}" data-set="d=display.stands"/>
      <path class="hangs" d="{}" data-set="d=display.hangs"/>
    </svg>
    <figcaption><span>an hour ago</span> <span>now</span> <span class="told" data-text="display.last_hour">{}</span></figcaption>
  </figure>`,
		one.Display.LastRefresh, one.Display.NextRefresh, one.ConsecutiveFailures, one.RequestsWaited, one.Invalidations, one.Display.Credentials,
		one.Display.LastHour, one.Display.OKBars, one.Display.FailedBars, one.Display.LastHour)
}

// writeRequests writes the table of how requests ended.
func (d *document) writeRequests(requests Requests) {
	d.writef(`
<table class="requests">
  <caption>How requests ended</caption>
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
		{"4xx <span>refused</span>", "client_error", func(w Window) any { return w.ClientError }},
		{"5xx <span>failed</span>", "server_error", func(w Window) any { return w.ServerError }},
		{"App hung up", "gone", func(w Window) any { return w.ClientClosed }},
		{"Of all, answered by the broker itself", "by_broker", func(w Window) any { return w.Local }},
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
