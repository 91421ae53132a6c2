package brokertest

import (
	"bytes"
	"compress/gzip"
	"io"
)

// Gzipped returns the text as one gzip member.
func Gzipped(text string) string {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(w, text) // a buffer accepts everything
	_ = w.Close()
	return zipped.String()
}
