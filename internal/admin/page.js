'use strict';
// Shows /status.json. Elements name the values of the view that they show: data-text (their text), data-set (attributes),
// data-show (whether they are visible), data-open (whether they are open at first), data-copy (what a click copies), and
// data-list (one copy of their template for each item). A value is never parsed as markup: some come from requests.

// Formats

const plural = (count, thing) => `${number(count)} ${thing}${count === 1 ? '' : 's'}`;
const number = value => value.toLocaleString('en', value < 100 ? {maximumSignificantDigits: 2} : {maximumFractionDigits: 0});

function duration(seconds) {
  if (seconds < 1) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = units.findIndex(([size]) => seconds >= size);
  return units.slice(first, first + 2).map(([size, unit], i, both) => {
    const count = Math.floor((i ? seconds % both[0][0] : seconds) / size);
    return count || !i ? `${count} ${unit}` : '';
  }).join(' ').trim();
}

const sentence = text => text[0].toUpperCase() + text.slice(1) + '.';
const ago = seconds => seconds < 1 ? 'just now' : `${duration(seconds)} ago`;

// The broker's clock counts, not the browser's: only the difference to uptime matters.
const ageOf = (status, time) => status.uptime_seconds - (new Date(time) - new Date(status.started)) / 1000;

function clock(status, time) {
  const at = new Date(time);
  return ageOf(status, time) < 86400 / 2 ? at.toLocaleTimeString() : at.toLocaleString();
}

// Hyphens have a meaning in a text fragment, which leads to the code in the guide.
const codeLink = code => `troubleshooting.md#:~:text=${encodeURIComponent(code ?? '').replaceAll('-', '%2D')}`;

// The likely cause, numbered steps, and how the broker learns of the correction go on lines of their own.
const steps = advice => advice.replace(/ (\d\. |Client ID or Client Secret is |The broker |Correct )/g, '\n$1');

// bar appends a bar to the path of a chart that has sixty minutes from left to right.
const bar = (minute, from, height) => height ? `M${minute * 4} ${from}h3v${height}h-3z` : '';

// Names

const causes = {
  none: '', credentials: 'Client ID or Client Secret', login_server: 'the login server, or the connection to it (not the broker or your app)',
  api: 'the API, or the connection to it (not the broker or the token)', configuration: 'the broker’s configuration',
  app: 'what the app sends', token_store: 'the token store, or the connection to it',
};
const states = {
  healthy: 'Healthy', refreshing: 'Refreshing', starting: 'Starting', failing: 'Refresh failing',
  stale_credentials: 'New credentials not used', outage: 'No token', rejected: 'Credentials rejected',
};
const components = {login_server: 'Login server', token: 'Token', api: 'API'};
const counts = {
  per_second: 'Per second', all: 'All', success: '2xx success', redirect: '3xx redirect', client_error: '4xx client error',
  server_error: '5xx server error', client_closed: 'App disconnected', local: 'Answered by the broker', api_seconds: 'API latency',
};
const denied = {
  host: 'Host not allowed (see BROKER_ALLOWED_HOSTS)', browser: 'sent by a web page', method: 'method not supported', upgrade: 'Upgrade header',
  target: 'for a host other than the API', path: 'ambiguous path', key: 'access key missing or wrong', account: 'account of another caller',
  certificate: 'client certificate expired, or its CA removed', rule: 'not in BROKER_ALLOW', malformed: 'malformed HTTP',
  connections: 'connection closed to make room for another', handshake: 'TLS handshake failed',
};
const replays = {
  success: 'retried with a new token, answered', unauthorized: 'retried with a new token, 401 again',
  failed: 'retried with a new token, no response', body_not_kept: 'not retried: body too large (see BROKER_REPLAY_BUFFER)',
  no_token: 'not retried: no new token in time',
};

// The view

function viewOf(status) {
  return {
    ...status,
    since: `Since ${clock(status, status.since)}, ${ago(ageOf(status, status.since))}`,
    cause: causes[status.cause] ?? status.cause,
    advice: steps(status.advice),
    codeLink: codeLink(status.code),
    components: Object.entries(components).map(([name, label]) => componentOf(status, name, label)),
    usage: usageOf(status),
    callers: (status.callers ?? []).map(caller => callerOf(status, caller)),
    hasCallers: Boolean(status.callers ?? status.caller_problems),
    callerProblems: (status.caller_problems ?? []).map(text => ({key: text, text})),
    failures: status.failures.map(failure => failureOf(status, failure)),
    noFailures: status.failures.length === 0,
    accounts: status.accounts.toSorted((a, b) => b.needs_attention - a.needs_attention).map((account, i) => accountOf(status, account, i)),
    store: !status.token_store ? '' : status.token_store.working ? 'The token store is in use.' : `The token store is not in use: it ${status.token_store.problem}.`,
    traffic: trafficOf(status),
    special: [...Object.entries(status.denied).map(([name, count]) => ({key: 'denied ' + name, name: `Refused: ${denied[name] ?? name}`, count})),
      {key: 'dry run', name: 'Forwarded although not in the allow list (BROKER_ALLOW_MODE=warn)', count: status.denied_dry_run},
      {key: 'fields', name: 'Fields of responses dropped because they contained the token', count: status.response_fields_dropped},
      ...Object.entries(status.replays).map(([name, count]) => ({key: 'replay ' + name, name: `After a 401: ${replays[name] ?? name}`, count})),
    ].filter(row => row.count > 0).map(row => ({...row, count: number(row.count)})),
    operations: status.operations.map(operation => operationOf(status, operation)),
    noOperations: status.operations.length === 0,
    allow: allowOf(status),
    settings: status.configuration.map(setting => ({...setting, key: setting.name}))
      .filter(setting => allSettings.checked || !['default', '-'].includes(setting.source)),
    build: `Version ${status.version}, revision ${status.revision}, started ${new Date(status.started).toLocaleString()} (${duration(status.uptime_seconds)} ago).`,
  };
}

function componentOf(status, key, name) {
  const component = status.components[key];
  const left = Math.min(...status.accounts.filter(account => account.token_valid).map(account => account.token_remaining_seconds));
  const latency = component.latency_seconds ? duration(component.latency_seconds) : '–';
  return {
    ...component, key, name, since: clock(status, component.since),
    latency: key === 'token' && left < Infinity ? `${duration(left)} left` : latency,
  };
}

function usageOf(status) {
  const base = status.usage.url;
  const urls = status.accounts.slice(0, 5).map(({account}) => account === 'default' ?
    {url: base, note: status.accounts.length > 1 ? 'the default account' : ''} : {url: `${base}/@${account}`, note: `the account ${account}`});
  if (status.accounts.length > 5) urls.push({url: `${base}/@NAME`, note: 'any other account'});
  return {
    ...status.usage,
    urls: urls.map(one => ({...one, key: one.url, label: `Copy ${one.url}`})),
    // A caller may not use every account: a request that names none gets its first one.
    curl: `${status.usage.curl} ${status.callers?.length ? base : urls[0]?.url ?? base}/channels`,
  };
}

function callerOf(status, caller) {
  return {
    key: caller.name, name: caller.name, accounts: caller.accounts.join(', '),
    expiry: caller.expires ? `${ageOf(status, caller.expires) < 0 ? 'until' : 'expired'} ${new Date(caller.expires).toLocaleString()}` : '',
    curl: caller.curl && `${caller.curl} ${status.usage.url}/channels`, label: `Copy the curl command of ${caller.name}`,
  };
}

function failureOf(status, failure) {
  return {
    ...failure, key: [failure.account, failure.caller, failure.method, failure.path, failure.status, failure.code].join(' '),
    time: clock(status, failure.at), request: `${failure.method} ${failure.path}`,
    times: [failure.caller && `by ${failure.caller}`, failure.count > 1 && `${number(failure.count)} times`].filter(Boolean).join(', '),
    reason: sentence(failure.reason), codeLink: codeLink(failure.code),
  };
}

function operationOf(status, operation) {
  return {
    ...operation, key: [operation.caller, operation.method, operation.path].join(' '),
    operation: `${operation.method} ${operation.path}`, count: number(operation.count), last: clock(status, operation.last_used),
    allowed: operation.allowed ? 'allowed' : 'missing', state: operation.allowed ? 'ok' : 'warning',
  };
}

function allowOf(status) {
  const {mode, line, callers = [], evicted} = status.allow_list;
  const lines = [{line, note: callers.length ? 'all callers' : ''}, ...callers.map(one => ({line: one.patterns, note: one.caller}))];
  return {
    lines: lines.map(one => ({...one, key: one.note, label: `Copy the allow list ${one.note}`.trim()})),
    dryRun: mode !== 'warn' ? '' : `${plural(status.denied_dry_run, 'request')} would have been refused since the start.`,
    evicted: evicted ? `${plural(evicted, 'operation')} made room for others, so something may be missing.` : '',
  };
}

function accountOf(status, account, index) {
  const problem = account.unused_credentials ?? account.last_error;
  const since = time => time ? ago(ageOf(status, time)) : 'never';
  const minute = time => 59 - Math.floor(ageOf(status, time) / 60);
  const failed = one => (one.rejected ?? 0) + (one.unavailable ?? 0) + (one.invalid_response ?? 0);
  const sum = of => account.last_hour.reduce((all, one) => all + of(one), 0);
  const failures = sum(failed), all = failures + sum(one => one.success ?? 0);
  const next = account.next_attempt ? -ageOf(status, account.next_attempt) : 0;
  return {
    ...account, key: account.account, codeLink: codeLink(account.code),
    word: account.code === 'credentials-unreadable' ? 'Credentials cannot be read' : states[account.state] ?? account.state,
    open: status.accounts.length <= 3 || account.needs_attention && index < 3,
    max: account.token_lifetime_seconds || 1, remaining: account.token_remaining_seconds,
    token: account.token_valid ? `${duration(account.token_remaining_seconds)} left of ${duration(account.token_lifetime_seconds)}` : 'none',
    label: `Remaining token lifetime of ${account.account}`,
    reason: problem && status.accounts.length > 1 ? sentence(problem.reason) : '', // with one account, the verdict says so
    advice: steps(account.advice ?? ''),
    facts: [
      ...account.api ? [['API', account.api]] : [],
      ['Last refresh', `${since(account.last_success)}${account.shared?.from_peer ? ', by another broker' : `, took ${duration(account.last_duration_seconds)}`}`],
      ['Last failed refresh', account.last_error ? since(account.last_error.at) : 'none since'],
      ['Next refresh', account.fetching_since ? `in progress for ${duration(ageOf(status, account.fetching_since))}` : next < 1 ? 'now' : `in ${duration(next)}`],
      ['Consecutive failures', number(account.consecutive_failures)],
      ['Credentials loaded', since(account.credentials_changed)],
      ['Requests, 5 min', number(account.requests.last_five_minutes.all)],
      ['Requests that waited for a token', number(account.requests_waited)],
      ['Tokens replaced after a 401', number(account.invalidations)],
    ].map(([name, value]) => ({key: name, name, value})),
    hour: !all ? 'No token requests in the last hour.' : `${plural(all, 'token request')} in the last hour, ${failures ? number(failures) : 'none'} failed; ` +
      `the slowest took ${duration(Math.max(...account.last_hour.map(one => one.slowest_seconds)))}.`,
    // Successes above the line, failures below it, so that the chart can be read without colours.
    okBars: account.last_hour.map(one => bar(minute(one.start), 19, one.success && -Math.min(18, 6 + 6 * one.success))).join(''),
    failedBars: account.last_hour.map(one => bar(minute(one.start), 21, failed(one) && Math.min(18, 6 + 6 * failed(one)))).join(''),
  };
}

function trafficOf(status) {
  const minutes = status.traffic;
  const highest = Math.max(1, ...minutes.map(one => one.requests));
  const bars = of => minutes.map((one, i) => bar(60 - minutes.length + i, 39, of(one) && -Math.max(1, 38 * of(one) / highest))).join('');
  const sum = of => minutes.reduce((all, one) => all + of(one), 0);
  const {last_minute: minute, last_five_minutes: fiveMinutes, total} = status.requests;
  const format = (key, value) => key !== 'api_seconds' ? number(value) : value ? duration(value) : '–';
  return {
    summary: !sum(one => one.requests) ? 'No requests in the last hour.' :
      `${plural(sum(one => one.requests), 'request')}, ${number(sum(one => one.failed))} with an error; at most ${number(highest)} a minute.`,
    okBars: bars(one => one.requests), failedBars: bars(one => one.failed),
    inFlight: `${plural(status.requests_in_flight, 'request')} in flight.`,
    rows: Object.entries(counts).map(([key, name]) => ({key, name, minute: format(key, minute[key]), fiveMinutes: format(key, fiveMinutes[key]), total: format(key, total[key])})),
  };
}

// The elements

const get = (values, path) => path.split('.').reduce((at, name) => at?.[name], values);

// bind returns a function that shows values in an element and its descendants, except for those in templates.
function bind(root) {
  const updates = [];
  for (const element of [root, ...root.querySelectorAll('*')]) {
    const {text, set, show, open, copy, list} = element.dataset;
    if (text) updates.push(values => { const now = String(get(values, text) ?? ''); if (element.textContent !== now) element.textContent = now; });
    if (show) updates.push(values => { element.hidden = !get(values, show); });
    if (copy) updates.push(values => { element.onclick = () => copyText(element, get(values, copy)); });
    if (list) updates.push(bindList(element, list));
    for (const pair of set ? set.split(' ') : []) {
      const [name, path] = pair.split('=');
      updates.push(values => { const now = String(get(values, path) ?? ''); if (element.getAttribute(name) !== now) element.setAttribute(name, now); });
    }
    if (open) {
      let first = true; // later only the reader opens and closes it
      updates.push(values => { if (first) element.open = get(values, open); first = false; });
    }
  }
  return values => updates.forEach(update => update(values));
}

// bindList keeps one element for each key, so that focus, selections and what the reader has opened survive an update.
function bindList(parent, path) {
  const template = parent.querySelector('template').content.firstElementChild;
  let rows = new Map();
  return values => {
    const next = new Map();
    for (const item of get(values, path) ?? []) {
      const row = rows.get(item.key) ?? (element => ({element, update: bind(element)}))(template.cloneNode(true));
      row.update(item);
      next.set(item.key, row);
    }
    for (const [key, row] of rows) if (!next.has(key)) row.element.remove();
    let previous = parent.firstElementChild; // the template
    for (const {element} of next.values()) {
      if (previous.nextElementSibling !== element) previous.after(element);
      previous = element;
    }
    rows = next;
  };
}

// copyText works without a secure context too, where there is no navigator.clipboard.
function copyText(button, text) {
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'unseen';
  document.body.append(area);
  area.select();
  const label = button.dataset.label ??= button.textContent;
  button.textContent = document.execCommand('copy') ? 'Copied' : 'Copying failed';
  area.remove();
  button.focus();
  setTimeout(() => { button.textContent = label; }, 2000);
}

// The updates

const maxInterval = 30000, timeout = 5000;
const main = document.getElementById('main'), lost = document.getElementById('lost'), report = document.getElementById('report');
const allSettings = document.getElementById('all-settings');
const update = bind(document.body);
let lostPolls = 0, interval = 2000, current, timer;

function show(status) {
  current = status;
  update(viewOf(status));
  document.title = `${status.summary.replace(/\.$/, '')} – etrusted-broker`;
  interval = 2000 + 20 * status.accounts.length; // hundreds of accounts make a long response
  main.hidden = report.disabled = false;
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return; // until the page is visible again
  try {
    const response = await fetch('status.json', {cache: 'no-store', signal: AbortSignal.timeout(timeout)});
    if (!response.ok) throw new Error(response.status);
    show(await response.json());
    lostPolls = 0;
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof DOMException)) console.error(error); // not a lost connection
    if (lostPolls++ === 0) document.getElementById('lost-since').textContent = new Date().toLocaleTimeString();
    document.title = 'No response – etrusted-broker';
  }
  lost.hidden = lostPolls === 0;
  document.body.classList.toggle('stale', lostPolls > 0);
  timer = setTimeout(poll, Math.min(maxInterval, interval * 2 ** lostPolls));
}

// The token gets older between two responses too.
setInterval(() => { if (!lostPolls && !document.hidden) for (const left of document.querySelectorAll('progress')) left.value = Math.max(0, left.value - 1); }, 1000);
report.onclick = () => copyText(report, JSON.stringify(current, null, 2));
allSettings.onchange = () => show(current);
document.addEventListener('visibilitychange', poll);
poll();
