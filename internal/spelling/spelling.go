// Package spelling finds out what a misspelt name was meant to be.
package spelling

// Nearest returns the candidate with the fewest edits between it and a text, and their number; of several, the first. An edit inserts,
// removes or replaces one byte. There must be a candidate.
func Nearest(text string, candidates []string) (nearest string, edits int) {
	for i, candidate := range candidates {
		if n := distance(text, candidate); i == 0 || n < edits {
			nearest, edits = candidate, n
		}
	}
	return nearest, edits
}

// distance returns the number of edits that make b of a, by the algorithm of Wagner and Fischer with one row of its matrix.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
