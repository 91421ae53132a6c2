package soak

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// logProgress writes a line with the state of the run, and each loss since the line before. logged is the number of losses that
// have been written.
func (r *run) logProgress(logged int) int {
	requests, lost, losses := r.tally.snapshot()
	for _, loss := range losses[logged:] {
		r.logf("lost without a cause: %s", loss)
	}
	sum := 0
	for _, count := range requests {
		sum += count
	}
	_, found, _ := r.searcher.snapshot()
	r.mu.Lock()
	var u usage
	if len(r.usages) > 0 {
		u = r.usages[len(r.usages)-1]
	}
	r.mu.Unlock()
	name, _ := r.journal.last(time.Now())
	r.logf("%d requests, %d without success, %d lost without a cause, %d secrets found; %.2f MB live, %.1f MB resident, %.0f goroutines, %.0f descriptors; latest: %s",
		sum, sum-requests[result{outcome: succeeded}], lost, found, u.live/1e6, u.resident/1e6, u.goroutines, u.descriptors, name)
	return len(losses)
}

// report writes the results, and returns an error if the run has failed.
func (r *run) report(w io.Writer) error {
	requests, lost, losses := r.tally.snapshot()
	searched, found, secrets := r.searcher.snapshot()
	growths, err := r.growth()
	var text strings.Builder
	fmt.Fprintf(&text, "%v of %v at %d requests a second, seed %d\n\n", time.Since(r.start).Round(time.Second), r.Duration, r.Rate, r.Seed)
	writeRequests(&text, requests)
	writeDisturbances(&text, r.journal.counts())
	fmt.Fprintf(&text, "%d slow clients and %d dying clients.\n\n", r.misbehaving.slow.Load(), r.misbehaving.dying.Load())
	writeGrowth(&text, growths)
	var total int64
	for _, count := range searched {
		total += count
	}
	fmt.Fprintf(&text, "Searched for secrets: %.1f MB in %s. Found: %d.\n", float64(total)/1e6, strings.Join(slices.Sorted(maps.Keys(searched)), ", "), found)
	if _, err := io.WriteString(w, text.String()); err != nil {
		return err
	}

	problems := []error{err}
	if lost > 0 {
		problems = append(problems, fmt.Errorf("%d requests were lost without a cause:\n%s", lost, strings.Join(losses, "\n")))
	}
	if found > 0 {
		problems = append(problems, fmt.Errorf("%d texts contain a secret:\n%s", found, strings.Join(secrets, "\n")))
	}
	for _, g := range growths {
		if g.tooMuch() {
			problems = append(problems, fmt.Errorf("%s: grew from %.0f to %.0f, by more than %.0f %%", g.resource, g.before, g.after, 100*maxGrowth))
		}
	}
	return errors.Join(problems...)
}

func writeRequests(w io.Writer, requests map[result]int) {
	fmt.Fprintf(w, "| requests | outcome | cause |\n|---:|---|---|\n")
	order := slices.SortedFunc(maps.Keys(requests), func(a, b result) int {
		return cmp.Or(cmp.Compare(requests[b], requests[a]), cmp.Compare(a.outcome, b.outcome), cmp.Compare(a.cause, b.cause))
	})
	for _, key := range order {
		cause := key.cause
		switch {
		case key.outcome == succeeded, key.outcome == notSent:
			cause = "–"
		case cause == "":
			cause = "**none**"
		}
		fmt.Fprintf(w, "| %d | %s | %s |\n", requests[key], key.outcome, cause)
	}
	fmt.Fprintln(w)
}

func writeDisturbances(w io.Writer, counts map[string]int) {
	fmt.Fprintf(w, "| times | disturbance |\n|---:|---|\n")
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(w, "| %d | %s |\n", counts[name], name)
	}
	fmt.Fprintln(w)
}

func writeGrowth(w io.Writer, growths []growth) {
	fmt.Fprintf(w, "| lowest value | after the warm-up | at the end |\n|---|---:|---:|\n")
	for _, g := range growths {
		fmt.Fprintf(w, "| %s | %.0f | %.0f |\n", g.resource, g.before, g.after)
	}
	fmt.Fprintln(w)
}
