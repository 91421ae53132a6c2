'use strict';
// Updates the page from /status.json. Elements name the values that they show: data-text (their text), data-set (attributes)
// and data-show (whether they are visible). All texts come from the broker.

const interval = 2000 + 20 * document.querySelectorAll('[data-account]').length; // ms; hundreds of accounts make a long response
const timeout = 5000;
const maxInterval = 30000;
const lost = document.getElementById('lost');
const bars = document.querySelectorAll('progress');

let failures = 0;
let timer;

const get = (values, path) => path.split('.').reduce((at, name) => at?.[name], values);

// The elements stay the same until the page is reloaded, so they are searched for once.
function bind(elements) {
  const updates = [];
  for (const element of elements) {
    const {text, set, show} = element.dataset;
    if (text) updates.push(values => { const now = String(get(values, text) ?? ''); if (element.textContent !== now) element.textContent = now; });
    if (show) updates.push(values => { element.hidden = !get(values, show); });
    for (const pair of set ? set.split(' ') : []) {
      const [name, path] = pair.split('=');
      updates.push(values => element.setAttribute(name, get(values, path) ?? ''));
    }
  }
  return values => updates.forEach(update => update(values));
}

const bound = '[data-text], [data-set], [data-show]';
const updateBroker = bind([...document.querySelectorAll(bound)].filter(element => !element.closest('[data-account]')));
const accounts = new Map();
for (const article of document.querySelectorAll('[data-account]')) {
  accounts.set(article.dataset.account, {article, update: bind([article, ...article.querySelectorAll(bound)])});
}

function update(status) {
  const same = status.started === document.body.dataset.started && status.accounts.length === accounts.size;
  if (!same || !status.accounts.every(account => accounts.has(account.account))) {
    location.reload(); // a different broker, or different accounts: other elements
    return;
  }
  updateBroker(status);
  for (const account of status.accounts) {
    const {article, update} = accounts.get(account.account);
    update(account);
    const group = document.getElementById(account.needs_attention ? 'attention' : 'healthy');
    if (article.parentElement !== group) group.append(article);
  }
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return; // until the page is visible again
  try {
    const response = await fetch('status.json', {cache: 'no-store', signal: AbortSignal.timeout(timeout)});
    if (!response.ok) throw new Error(response.status);
    update(await response.json());
    failures = 0;
  } catch {
    if (failures++ === 0) document.getElementById('since').textContent = new Date().toLocaleTimeString();
    document.title = lost.textContent;
  }
  lost.hidden = failures === 0;
  document.body.classList.toggle('stale', failures > 0);
  timer = setTimeout(poll, Math.min(maxInterval, interval * 2 ** failures));
}

// The token gets older between two responses too.
setInterval(() => { if (failures === 0 && !document.hidden) for (const bar of bars) bar.value = Math.max(0, bar.value - 1); }, 1000);
document.addEventListener('visibilitychange', poll);
timer = setTimeout(poll, interval); // not at once: behind a load balancer, another broker may answer, and the page would reload without end
