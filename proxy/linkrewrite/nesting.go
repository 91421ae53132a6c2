package linkrewrite

// maxDepth is how deep the strings that are looked at may lie: as deep as encoding/json reads, and far deeper than other
// readers (PHP 512, Jackson and Python about 1,000), so nobody reads a link that lies deeper. A bit a level is 1.25 kB.
const maxDepth = 10_000

// nesting knows for each level whether it is an object. The zero value is the top level.
type nesting struct {
	depth   int
	objects [(maxDepth + 63) / 64]uint64
}

func (n *nesting) open(object bool) {
	if n.depth < maxDepth {
		word, bit := n.depth/64, uint64(1)<<(n.depth%64)
		if object {
			n.objects[word] |= bit
		} else {
			n.objects[word] &^= bit
		}
	}
	n.depth++
}

func (n *nesting) close() {
	if n.depth > 0 { // one bracket too many is not JSON, but may come
		n.depth--
	}
}

// known reports whether the innermost level is one that has a bit.
func (n *nesting) known() bool { return n.depth <= maxDepth }

// inObject reports whether the innermost level is an object. It must be known.
func (n *nesting) inObject() bool {
	i := n.depth - 1
	return i >= 0 && n.objects[i/64]&(1<<(i%64)) != 0
}
