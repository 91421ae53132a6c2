package linkrewrite_test

import (
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"etrusted-broker/internal/brokertest"
	"etrusted-broker/proxy/linkrewrite"
)

const maxGunzipped = 64 << 10

var oneMember = brokertest.Gzipped("[1]")

// gzipBodies are bodies, and what a reader makes of them.
var gzipBodies = []struct {
	name, body, want string
	err              error
	notWhole         bool // GunzipSmall refuses it
}{
	{name: "one member", body: oneMember, want: "[1]"},
	{name: "no text", body: brokertest.Gzipped(""), want: ""},
	{name: "two members", body: oneMember + brokertest.Gzipped("[2]"), want: "[1][2]"},
	{name: "padding", body: oneMember + strings.Repeat("\x00", 100), want: "[1]"},
	{name: "noise", body: oneMember + "noise", want: "[1]"},
	{name: "half a magic number", body: oneMember + "\x1f", want: "[1]"},
	{name: "longest", body: brokertest.Gzipped(strings.Repeat("a", maxGunzipped)), want: strings.Repeat("a", maxGunzipped)},
	{name: "too long", body: brokertest.Gzipped(strings.Repeat("a", maxGunzipped+1)), want: strings.Repeat("a", maxGunzipped+1), notWhole: true},
	{name: "cut off", body: oneMember[:20], want: "[1]", err: io.ErrUnexpectedEOF, notWhole: true},
	{name: "cut off in the header", body: oneMember[:5], err: io.ErrUnexpectedEOF, notWhole: true},
	{name: "second member cut off", body: oneMember + brokertest.Gzipped("[2]")[:5], want: "[1]", err: io.ErrUnexpectedEOF, notWhole: true},
	{name: "wrong checksum", body: strings.Replace(oneMember, oneMember[len(oneMember)-8:], "checksum", 1), want: "[1]", err: gzip.ErrChecksum, notWhole: true},
	{name: "not gzip", body: `["x"]`, want: `["x"]`, notWhole: true},
	{name: "empty", notWhole: true},
	{name: "one byte", body: "\x1f", want: "\x1f", notWhole: true},
}

func TestGunzipReader(t *testing.T) {
	for _, test := range gzipBodies {
		for _, inner := range []io.Reader{strings.NewReader(test.body), iotest.OneByteReader(strings.NewReader(test.body)), iotest.DataErrReader(strings.NewReader(test.body))} {
			r := linkrewrite.NewLenientGunzipReader(inner)
			got, err := readAll(r, 1000)
			if test.err == nil && got != test.want || !errors.Is(err, test.err) || !strings.HasPrefix(test.want, got) {
				t.Errorf("%s: got %.20q, %v, want %.20q, %v", test.name, got, err, test.want, test.err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestGunzipSmall(t *testing.T) {
	for _, test := range gzipBodies {
		got, ok := linkrewrite.GunzipSmall([]byte(test.body))
		if ok == test.notWhole || ok && string(got) != test.want {
			t.Errorf("%s: got %.20q, %v, want %.20q, %v", test.name, got, ok, test.want, !test.notWhole)
		}
	}
}

// TestGunzipReaderReturnsErrors: an error of the body is not the end of it.
func TestGunzipReaderReturnsErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, body := range []string{"", "[1]", "\x1f", oneMember[:3], oneMember[:20], oneMember, oneMember + "\x1f"} {
		r := linkrewrite.NewLenientGunzipReader(&chunkReader{chunks: [][]byte{[]byte(body)}, err: broken})
		if got, err := readAll(r, 100); !errors.Is(err, broken) {
			t.Errorf("%q: got %q, %v, want %v", body, got, err, broken)
		}
		_ = r.Close()
	}
}

// TestGunzipReaderIsDeadAfterClose: its memory belongs to other readers then.
func TestGunzipReaderIsDeadAfterClose(t *testing.T) {
	first := linkrewrite.NewLenientGunzipReader(strings.NewReader(oneMember))
	buffer := make([]byte, 1)
	if n, err := first.Read(buffer); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	_, _ = first.Close(), first.Close()
	second := linkrewrite.NewLenientGunzipReader(strings.NewReader(brokertest.Gzipped("[2]")))
	third := linkrewrite.NewLenientGunzipReader(strings.NewReader(brokertest.Gzipped("[3]")))
	if n, err := first.Read(buffer); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("after Close: got %d, %v, want an error", n, err)
	}
	for want, r := range map[string]io.Reader{"[2]": second, "[3]": third} {
		if got, err := readAll(r, 100); got != want || err != nil {
			t.Errorf("got %q, %v, want %s", got, err, want)
		}
	}
}

// TestConcurrentReaders: pooled memory is used by one reader at a time.
func TestConcurrentReaders(t *testing.T) {
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			body := strings.Repeat(`["`+from+`/","`+strings.Repeat(string(rune('a'+i)), 3000)+`"]`, 20)
			want, zipped := strings.ReplaceAll(body, from, to), brokertest.Gzipped(body)
			for range 10 {
				unzipped := linkrewrite.NewLenientGunzipReader(strings.NewReader(zipped))
				if got, err := readAll(rewriter.NewReader(unzipped), 5000); got != want || err != nil {
					t.Errorf("got %v, %d bytes that differ from want at %d", err, len(got), firstDifference(got, want))
				}
				_ = unzipped.Close()
			}
		})
	}
	wait.Wait()
}
