package tokensource_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"etrusted-broker/internal/fakeetrusted"
	"etrusted-broker/tokensource"
)

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The broker asks for an uncompressed response without a byte order mark, but reads the others too.
func TestReadsOddlyEncodedResponses(t *testing.T) {
	t.Parallel()
	const good = `{"access_token":"abc","expires_in":300}`
	whole := gzipped(t, good)
	for name, tc := range map[string]struct {
		body string
		want tokensource.Outcome
	}{
		"byte order mark":            {"\ufeff" + good, tokensource.OutcomeSuccess},
		"gzip":                       {whole, tokensource.OutcomeSuccess},
		"gzip and a byte order mark": {gzipped(t, "\ufeff"+good), tokensource.OutcomeSuccess},
		"half of gzip":               {whole[:len(whole)/2], tokensource.OutcomeUnavailable},
		"gzip with a wrong checksum": {whole[:len(whole)-8] + "12345678", tokensource.OutcomeInvalidResponse},
		"only the beginning of gzip": {"\x1f\x8bxxxxxxxxxxxxxxxx", tokensource.OutcomeInvalidResponse},
		"broken gzip":                {whole[:10] + strings.Repeat("\xff", 40), tokensource.OutcomeInvalidResponse},
		"gzip of more than can be":   {gzipped(t, good+strings.Repeat(" ", 1<<20)), tokensource.OutcomeInvalidResponse},
		"gzip that grows a lot":      {gzipped(t, strings.Repeat(" ", 20<<20)), tokensource.OutcomeInvalidResponse},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, fakeetrusted.Options{})
				r.server.SetTokenFault(fakeetrusted.Answer(200, "application/json", tc.body))
				r.at(100 * time.Millisecond)
				if got := r.outcomes(); len(got) != 1 || got[0] != tc.want {
					t.Errorf("outcomes %v (%v), want %s", got, r.last().Err, tc.want)
				}
				if got := r.server.TokenRequests()[0].Header; got.Get("Accept-Encoding") != "identity" {
					t.Errorf("Accept-Encoding %q, want identity", got["Accept-Encoding"])
				}
			})
		})
	}
}

// An error may be compressed too.
func TestReadsCompressedRejection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, fakeetrusted.Options{})
		r.server.SetTokenFault(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(gzipped(t, `{"error":"invalid_client"}`)))
		}))
		r.at(100 * time.Millisecond)
		if got := r.last().Outcome; got != tokensource.OutcomeRejected {
			t.Errorf("outcome %s, want %s", got, tokensource.OutcomeRejected)
		}
	})
}
