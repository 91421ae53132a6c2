package proxy

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"

	"etrusted-broker/proxy/linkrewrite"
)

// bufferSize is how much of a response is copied at a time, and held while the app does not read. A TLS record fits; a longer
// buffer would not be filled.
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// relay forwards a response to the app as it arrives. If it breaks off, the app's connection is aborted, since a clean end
// would make a partial response look complete.
func relay(w http.ResponseWriter, r *http.Request, response *http.Response, record *RequestRecord) {
	header := w.Header()
	copyResponseHeader(header, response.Header)
	_, rewritten := response.Body.(*rewrittenBody)
	if rewritten {
		dropDigests(response.Trailer)
	}
	announced := announcedTrailers(response)
	if len(announced) > 0 {
		header["Trailer"] = announced
	}
	record.Status = response.StatusCode
	w.WriteHeader(response.StatusCode)
	if r.Method == http.MethodHead || response.Body == http.NoBody {
		return
	}
	if err := stream(w, response, record); err != nil {
		record.Broken = true
		panic(http.ErrAbortHandler)
	}
	if rewritten {
		dropDigests(response.Trailer) // now that they are known
	}
	relayTrailers(header, response, announced)
}

// stream copies the body and flushes what has arrived, so that a slow response is not delayed. The last part needs no flush,
// since the end of the handler flushes: a short body of known length costs none.
func stream(w http.ResponseWriter, response *http.Response, record *RequestRecord) error {
	flusher := http.NewResponseController(w)
	if response.ContentLength < 0 || response.ContentLength > bufferSize {
		if err := flusher.Flush(); err != nil {
			return err
		}
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := response.Body.Read(buffer[:])
		if n > 0 {
			written, err := w.Write(buffer[:n])
			record.Bytes += int64(written)
			if err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := flusher.Flush(); err != nil {
			return err
		}
	}
}

// announcedTrailers returns the names of the trailers that a response has announced and that are forwarded.
func announcedTrailers(response *http.Response) []string {
	var names []string
	drop := connectionOptions(response.Header["Connection"])
	for name := range response.Trailer {
		if allowedInTrailer(name) && forwardedDownstream(name, nil, drop) {
			names = append(names, name)
		}
	}
	return names
}

// relayTrailers forwards the trailers, which are known only after the body. Those that were not announced need net/http's
// prefix.
func relayTrailers(header http.Header, response *http.Response, announced []string) {
	drop := connectionOptions(response.Header["Connection"])
	for name, values := range response.Trailer {
		if !allowedInTrailer(name) || !forwardedDownstream(name, values, drop) {
			continue
		}
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		header[name] = values
	}
}

func dropDigests(trailer http.Header) {
	for name := range trailer {
		if linkrewrite.IsDigest(name) {
			delete(trailer, name)
		}
	}
}
