package linkrewrite

// JSON rewrites the links in a complete JSON body, as Reader does, and reports whether it rewrote any. If not, it
// returns text itself. It does not modify text.
func JSON(text []byte, from, to string) (rewritten []byte, changed bool) {
	s := scanner{from: from}
	var base replacement
	rest := text
	for len(rest) > 0 {
		pass, length, slashed := s.next(rest, true)
		if length > 0 {
			if !changed {
				changed = true
				base = newReplacement(to)
				rewritten = make([]byte, 0, len(text)+len(text)/8+len(to))
			}
			rewritten = append(rewritten, rest[:pass]...)
			rewritten = append(rewritten, base.text(slashed)...)
		} else if changed {
			rewritten = append(rewritten, rest[:pass]...)
		}
		rest = rest[pass+length:]
	}
	if !changed {
		return text, false
	}
	return rewritten, true
}
