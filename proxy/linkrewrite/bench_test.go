package linkrewrite_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"etrusted-broker/proxy/linkrewrite"
)

func BenchmarkJSON(b *testing.B) {
	r := linkrewrite.NewOrigin(from).To(to)
	eachBody(b, func(b *testing.B, body []byte) {
		for b.Loop() {
			r.JSON(body)
		}
	})
}

// BenchmarkReader measures a body read through a Reader; BenchmarkCopy is the baseline without one.
func BenchmarkReader(b *testing.B) {
	r := linkrewrite.NewOrigin(from).To(to)
	benchmarkCopy(b, func(body io.Reader) io.Reader { return r.NewReader(body) })
}

func BenchmarkCopy(b *testing.B) {
	benchmarkCopy(b, func(body io.Reader) io.Reader { return body })
}

func benchmarkCopy(b *testing.B, through func(io.Reader) io.Reader) {
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

func eachBody(b *testing.B, run func(b *testing.B, body []byte)) {
	for _, test := range []struct {
		name        string
		size, links int
		slashed     bool
	}{
		{"1 kB, 2 links", 1 << 10, 2, false},
		{"1 kB, no links", 1 << 10, 0, false},
		{"1 MiB, 4000 links", 1 << 20, 4000, false},
		{"1 MiB, 4000 links, slashed", 1 << 20, 4000, true},
		{"1 MiB, no links", 1 << 20, 0, false},
	} {
		body := apiResponse(test.size, test.links)
		if test.slashed {
			body = bytes.ReplaceAll(body, []byte("/"), []byte(`\/`))
		}
		b.Run(test.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			run(b, body)
		})
	}
}

// apiResponse returns an API response of some bytes with so many links.
func apiResponse(size, links int) []byte {
	const review = `{"id":"rev-2b7f5b2e","rating":5,"comment":"Schnelle Lieferung, gut \"verpackt\".","createdAt":"2024-05-01T12:00:00.000Z","verified":true,"url":"%s/reviews/rev-2b7f5b2e"}`
	origin := from
	if links == 0 {
		origin, links = "https://cdn.example.com", max(1, size/262)
	}
	item := fmt.Sprintf(review, origin)
	item += strings.Repeat(" ", max(0, size/links-len(item)-1)) + ","
	return []byte("[" + strings.Repeat(item, links-1) + item[:len(item)-1] + "]")
}
