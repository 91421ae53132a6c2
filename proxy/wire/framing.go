package wire

import "math"

// framing is what a request's field lines say about where it ends, and for whom it is: RFC 9112 sections 3.2 and 6. Two
// servers in a row that understand these differently are what request smuggling is made of (section 11.2). So whatever
// could be understood in two ways is a fault, also where net/http has made up its mind.
type framing struct {
	length  int64 // what Content-Length says; 0 without one
	lengths bool  // there was one
	chunked bool
	hosts   bool
}

// field takes a field line.
func (f *framing) field(name, value []byte) *RequestError {
	switch {
	case same(name, "content-length"):
		length, ok := decimal(value)
		if f.lengths || !ok {
			return faultLength
		}
		f.lengths, f.length = true, length
	case same(name, "transfer-encoding"):
		if f.chunked || !same(value, "chunked") {
			return faultCoding
		}
		f.chunked = true
	case same(name, "host"):
		if f.hosts || len(value) > 0 && !isHost(string(value)) { // it may be empty: RFC 9110 section 7.2
			return faultHost
		}
		f.hosts = true
	}
	return nil
}

// check takes the header's end.
func (f *framing) check(old bool) *RequestError {
	switch {
	case f.chunked && (f.lengths || old):
		return faultCoding
	case !f.hosts && !old:
		return faultHost
	default:
		return nil
	}
}

// decimal reads 1*DIGIT.
func decimal(digits []byte) (n int64, ok bool) {
	for _, b := range digits {
		if !isDigit(b) {
			return 0, false
		}
		digit := int64(b - '0')
		if n > (math.MaxInt64-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, len(digits) > 0
}
