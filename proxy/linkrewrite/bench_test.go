package linkrewrite_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"etrusted-broker/proxy/linkrewrite"
)

// BenchmarkReader measures a body read through a Reader; BenchmarkCopy is the baseline without one.
func BenchmarkReader(b *testing.B) {
	benchmark(b, func(body io.Reader) io.Reader { return linkrewrite.NewReader(body, from, to) })
}

func BenchmarkCopy(b *testing.B) {
	benchmark(b, func(body io.Reader) io.Reader { return body })
}

func benchmark(b *testing.B, through func(io.Reader) io.Reader) {
	buffer := make([]byte, 32<<10)
	eachBody(b, func(b *testing.B, body []byte) {
		inner := bytes.NewReader(nil)
		for b.Loop() {
			inner.Reset(body)
			// Hide WriterTo and ReaderFrom: a response body has none.
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{through(inner)}, buffer); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	eachBody(b, func(b *testing.B, body []byte) {
		for b.Loop() {
			linkrewrite.JSON(body, from, to)
		}
	})
}

func eachBody(b *testing.B, run func(b *testing.B, body []byte)) {
	for _, size := range []int{1 << 10, 1 << 20} {
		for _, kind := range []string{"without links", "with links", "slashed", "indented", "no JSON"} {
			b.Run(fmt.Sprintf("%d kB %s", size>>10, kind), func(b *testing.B) {
				body := []byte(reviewPage(size, kind))
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				run(b, body)
			})
		}
	}
}

// reviewPage returns an API response of about size bytes.
func reviewPage(size int, kind string) string {
	const review = `{"id":"rev-2b7f5b2e-0f4c-4d56-9f0b-1d3c8f1f2a77","rating":5,"title":"Alles bestens","comment":"Schnelle Lieferung, ` +
		`gut verpackt \"wie immer\" – gerne wieder.","createdAt":"2024-05-01T12:00:00.000Z","transaction":{"reference":"A-1000",` +
		`"date":"2024-04-28T09:30:00Z"},"verified":true,"links":["%s/reviews/rev-2b7f5b2e"]},`
	base := from
	switch kind {
	case "without links":
		base = ""
	case "no JSON":
		return strings.Repeat("5f ", size/3)
	}
	item := fmt.Sprintf(review, base)
	body := `{"paging":{"count":10,"links":{"previous":null,"next":"` + base + `/reviews?after=x"}},"items":[` +
		strings.Repeat(item, max(1, size/len(item))) + `{}]}`
	switch kind {
	case "slashed":
		body = strings.ReplaceAll(body, "/", `\/`)
	case "indented":
		body = strings.ReplaceAll(body, ",", ",\n                ")
	}
	return body
}
