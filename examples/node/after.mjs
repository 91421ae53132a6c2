// Prints every review. The broker handles OAuth.
const api = process.env.ETRUSTED_API_URL || 'http://localhost:8080'

for (let next = `${api}/reviews?count=100`; next;) {
  const response = await fetch(next)
  if (!response.ok) throw new Error(`${next}: ${response.status} ${await response.text()}`)
  const page = await response.json()
  for (const review of page.items) console.log(review.id, review.rating)
  next = page.paging.links.next
}
