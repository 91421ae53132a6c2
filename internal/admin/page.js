'use strict';
// Keeps the page up to date from /status.json. The words are the broker's: an element names the fact that it shows, in
// data-text (its text), data-set (attributes) or data-show (whether it is there at all), and nothing is worded here.

const pause = 2000 + 20 * document.querySelectorAll('[data-account]').length; // ms; hundreds of accounts are more to tell
const patience = 5000;
const longest = 30000;
const lost = document.getElementById('lost');
const bars = document.querySelectorAll('progress');

let failures = 0;
let timer;

const look = (facts, path) => path.split('.').reduce((at, name) => at?.[name], facts);

// The elements of a part of the page stay the same until it is loaded anew, so they are looked for once.
function bind(elements) {
  const found = [];
  for (const element of elements) {
    const {text, set, show} = element.dataset;
    if (text) found.push(facts => { const now = String(look(facts, text) ?? ''); if (element.textContent !== now) element.textContent = now; });
    if (show) found.push(facts => { element.hidden = !look(facts, show); });
    for (const pair of set ? set.split(' ') : []) {
      const [name, path] = pair.split('=');
      found.push(facts => element.setAttribute(name, look(facts, path) ?? ''));
    }
  }
  return facts => found.forEach(update => update(facts));
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
    location.reload(); // another broker, or other accounts: the page itself is another
    return;
  }
  updateBroker(status);
  for (const account of status.accounts) {
    const {article, update} = accounts.get(account.account);
    update(account);
    const group = document.getElementById(account.troubled ? 'troubled' : 'fine');
    if (article.parentElement !== group) group.append(article);
  }
  for (const group of document.querySelectorAll('.accounts')) group.hidden = !group.querySelector('[data-account]');
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return; // until somebody looks again
  try {
    const answer = await fetch('status.json', {cache: 'no-store', signal: AbortSignal.timeout(patience)});
    if (!answer.ok) throw new Error(answer.status);
    update(await answer.json());
    failures = 0;
  } catch {
    if (failures++ === 0) document.getElementById('since').textContent = new Date().toLocaleTimeString();
    document.title = lost.textContent;
  }
  lost.hidden = failures === 0;
  document.body.classList.toggle('stale', failures > 0);
  timer = setTimeout(poll, Math.min(longest, pause * 2 ** failures));
}

// Between two answers a token grows older all the same.
setInterval(() => { if (failures === 0 && !document.hidden) for (const bar of bars) bar.value = Math.max(0, bar.value - 1); }, 1000);
document.addEventListener('visibilitychange', poll);
timer = setTimeout(poll, pause); // the page is new; and a broker that is not the page's own, behind a balancer, is not asked without a pause
