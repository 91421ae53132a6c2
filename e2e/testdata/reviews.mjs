// A shop's nightly job: it fetches every review, page by page, sends an event for an order, and prints a line for each.
import http from 'node:http'
import https from 'node:https'
import { createRequire } from 'node:module'

const {
  ETRUSTED_API_URL: api = 'https://api.etrusted.com',
  ETRUSTED_TOKEN_URL: tokenURL = 'https://login.etrusted.com/oauth/token',
  ETRUSTED_CLIENT_ID, ETRUSTED_CLIENT_SECRET, ORDER, LIBRARY,
} = process.env

// The global fetch, which up to Node 22.20 has no proxy support.
async function viaFetch(method, url, headers, body) {
  const response = await fetch(url, { method, headers, body })
  return [response.status, await response.text()]
}

// The modules http and https. With HTTP_PROXY or HTTPS_PROXY it does what the usual agents do: the whole URL as the request
// target for http:, and a tunnel for https:.
async function viaModules(method, url, headers, body) {
  const { protocol, host, hostname, port } = new URL(url)
  const secure = protocol === 'https:'
  const proxy = secure ? process.env.HTTPS_PROXY : process.env.HTTP_PROXY
  if (!proxy) return exchange((secure ? https : http).request(url, { method, headers }), body)
  if (!secure) return exchange(http.request(proxy, { method, headers: { ...headers, host }, path: url }), body)
  const path = `${hostname}:${port || 443}`
  const socket = await new Promise((resolve, reject) => {
    http.request(proxy, { method: 'CONNECT', path, headers: { host: path }, agent: false })
      .on('connect', (response, socket) => response.statusCode === 200 ? resolve(socket) : reject(new Error(`CONNECT: ${response.statusCode}`)))
      .on('response', response => reject(new Error(`CONNECT: ${response.statusCode}`)))
      .on('error', reject)
      .end()
  })
  return exchange(https.request(url, { method, headers, socket, agent: false }), body)
}

// What axios did with HTTPS_PROXY until 2026 (axios/axios#10858): an https: URL as the request target, and no tunnel.
function viaAxios(method, url, headers, body) {
  const { host } = new URL(url)
  return exchange(http.request(process.env.HTTPS_PROXY, { method, headers: { ...headers, host }, path: url }), body)
}

// The package undici, with an agent that reads HTTPS_PROXY.
async function viaUndici(method, url, headers, body) {
  const { EnvHttpProxyAgent, request } = createRequire(import.meta.url)('undici')
  const response = await request(url, { method, headers, body, dispatcher: new EnvHttpProxyAgent() })
  return [response.statusCode, await response.body.text()]
}

function exchange(request, body) {
  return new Promise((resolve, reject) => {
    request.on('error', reject).on('response', response => {
      let text = ''
      response.setEncoding('utf8').on('data', part => { text += part }).on('error', reject)
        .on('end', () => resolve([response.statusCode, text]))
    }).end(body)
  })
}

async function send(method, url, headers, body) {
  const via = { axios: viaAxios, modules: viaModules, undici: viaUndici }[LIBRARY] ?? viaFetch
  const [status, text] = await via(method, url, headers, body)
  if (status !== 200 && status !== 201) throw new Error(`${method} ${url}: ${status} ${text}`)
  return JSON.parse(text)
}

const { access_token: token } = await send('POST', tokenURL, { 'Content-Type': 'application/x-www-form-urlencoded' },
  new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: ETRUSTED_CLIENT_ID,
    client_secret: ETRUSTED_CLIENT_SECRET,
    audience: 'https://api.etrusted.com',
  }).toString())
if (!token) throw new Error('no token')
const authorization = { Authorization: `Bearer ${token}` }

for (let next = `${api}/reviews?count=100`; next;) {
  const page = await send('GET', next, authorization)
  page.items.forEach(review => console.log(review.id))
  next = page.paging.links.next
}

const event = { type: 'checkout', transaction: { reference: ORDER } }
console.log((await send('POST', `${api}/events`, { ...authorization, 'Content-Type': 'application/json' }, JSON.stringify(event))).id)
