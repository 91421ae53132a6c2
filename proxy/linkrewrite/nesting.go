package linkrewrite

// maxDepth is the depth to which strings are rewritten. It is the limit of encoding/json and far beyond that of other
// parsers (PHP 512, Jackson and Python about 1,000), so no client reads deeper links. One bit per level needs 1.25 kB.
const maxDepth = 10_000

// nesting records for each level whether it is an object. The zero value is the top level.
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
	if n.depth > 0 { // invalid JSON may have too many closing brackets
		n.depth--
	}
}

// tracked reports whether the innermost level is within maxDepth.
func (n *nesting) tracked() bool { return n.depth <= maxDepth }

// inObject reports whether the innermost level is an object. The level must be tracked.
func (n *nesting) inObject() bool {
	i := n.depth - 1
	return i >= 0 && n.objects[i/64]&(1<<(i%64)) != 0
}
