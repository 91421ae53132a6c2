// Prints every review, with OAuth in the app.
const api = process.env.ETRUSTED_API_URL || 'https://api.etrusted.com'
const tokenURL = process.env.ETRUSTED_TOKEN_URL || 'https://login.etrusted.com/oauth/token'

async function send(url, options) {
  const response = await fetch(url, options)
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return response.json()
}

const { access_token: token } = await send(tokenURL, {
  method: 'POST',
  body: new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: process.env.ETRUSTED_CLIENT_ID,
    client_secret: process.env.ETRUSTED_CLIENT_SECRET,
    audience: 'https://api.etrusted.com',
  }),
})

for (let next = `${api}/reviews?count=100`; next;) {
  const page = await send(next, { headers: { Authorization: `Bearer ${token}` } })
  for (const review of page.items) console.log(review.id, review.rating)
  next = page.paging.links.next
}
