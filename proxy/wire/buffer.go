package wire

import "sync"

// buffer holds what was read from the client and not yet handed on. The zero value is empty, and one that is empty has no
// memory: most connections are idle most of the time, and of those there may be thousands.
//
//	from ... given ... ready ... to
//
// Bytes before given were handed on, and those before ready may be. Those from from on are kept all the same, until the
// header that they belong to was looked through.
type buffer struct {
	bytes                  []byte
	from, given, ready, to int
}

// small is the buffer's length for as long as that will do: most headers fit.
const small = 4 << 10

var smallOnes = sync.Pool{New: func() any { return new([small]byte) }}

// put takes in what was read elsewhere, which is no more than small. It is called while the buffer is empty.
func (b *buffer) put(read []byte) {
	if len(read) > 0 {
		b.to += copy(b.space(), read)
	}
}

func (b *buffer) isEmpty() bool { return b.bytes == nil }

// kept is what is there from from on.
func (b *buffer) kept() []byte { return b.bytes[b.from:b.to] }

// take hands on what is ready.
func (b *buffer) take(p []byte) int {
	n := copy(p, b.bytes[b.given:b.ready])
	b.given += n
	return n
}

// skip passes over bytes that are not to be handed on. It is called when all that is ready was handed on.
func (b *buffer) skip(n int) {
	b.given += n
	b.ready = b.given
}

// rest is what is there and not ready.
func (b *buffer) rest() []byte { return b.bytes[b.ready:b.to] }

// cutOff puts text in place of all from the index at on, and makes it ready.
func (b *buffer) cutOff(at int, text string) {
	b.bytes = append(b.bytes[:at:at], text...)
	b.ready, b.to = len(b.bytes), len(b.bytes)
}

// release gives up what was handed on, which all that is ready was.
func (b *buffer) release() {
	b.from = b.given
	if b.from < b.to {
		return
	}
	if len(b.bytes) == small {
		smallOnes.Put((*[small]byte)(b.bytes))
	}
	*b = buffer{}
}

// space returns where more can be read into, and makes it: first by moving what is kept to the front, and only if that is
// no gain by doubling. It is called when all that is ready was handed on.
func (b *buffer) space() []byte {
	kept := b.kept()
	switch size := len(b.bytes); {
	case size == 0, size > small && len(kept) < small:
		b.move(smallOnes.Get().(*[small]byte)[:])
	case b.to < size:
	case b.from > 0:
		b.move(b.bytes)
	default:
		b.move(make([]byte, 2*size))
	}
	return b.bytes[b.to:]
}

func (b *buffer) move(to []byte) {
	copy(to, b.kept())
	b.bytes, b.from, b.given, b.ready, b.to = to, 0, b.given-b.from, b.ready-b.from, b.to-b.from
}
