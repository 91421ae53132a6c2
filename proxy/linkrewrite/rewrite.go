package linkrewrite

// Rewrite rewrites the links in a whole body of JSON. It does what a Reader does, and reports whether anything was
// rewritten; if not, it returns text itself. It does not change text.
func JSON(text []byte, from, to string) (rewritten []byte, changed bool) {
	links := scanner{from: from}
	var base replacement
	rest := text
	for len(rest) > 0 {
		pass, length, slashed := links.next(rest, true)
		if length > 0 {
			if !changed {
				changed = true
				base = newReplacement(to)
				rewritten = make([]byte, 0, len(text)+len(text)/8+len(to))
			}
			rewritten = append(rewritten, rest[:pass]...)
			rewritten = append(rewritten, base.spelled(slashed)...)
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
