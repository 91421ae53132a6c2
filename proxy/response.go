package proxy

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
)

// bufferSize is how much of a response is copied at a time, and held while the app does not read. A TLS record of the
// upstream fits: a longer buffer would not be filled.
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// relay passes a response on to the app as it arrives. A response that breaks off in the middle must look broken to the
// app too: the connection is aborted, since a clean end would make half an answer look whole.
func relay(w http.ResponseWriter, r *http.Request, response *http.Response, report *RequestRecord) {
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
	report.Status = response.StatusCode
	w.WriteHeader(response.StatusCode)
	if r.Method == http.MethodHead || response.Body == http.NoBody {
		return
	}
	if err := stream(w, response, report); err != nil {
		report.Broken = true
		panic(http.ErrAbortHandler)
	}
	if rewritten {
		dropDigests(response.Trailer) // now that they are known
	}
	relayTrailers(header, response, announced)
}

// stream copies the body and flushes what has arrived, so that an answer that comes slowly is seen as it comes. The last
// part needs no flush, since the handler's end is one: a short body whose length is known costs none at all.
func stream(w http.ResponseWriter, response *http.Response, report *RequestRecord) error {
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
			report.Bytes += int64(written)
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

// announcedTrailers returns the names of the trailers that a response has announced and that may be passed on.
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

// relayTrailers passes on the trailers, which are known only after the body. Those that were not announced need the
// prefix that net/http has for them.
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
		if isDigest(name) {
			delete(trailer, name)
		}
	}
}
