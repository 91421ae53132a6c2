// Package stats is the little arithmetic that the bench does on what it has measured.
package stats

import (
	"math"
	"slices"
)

// Median returns the middle of the values, in any order; NaN of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Percentile returns the smallest of the values, in any order, that at least percent of them do not exceed (the nearest
// rank, so it is always one that was measured); NaN of none.
func Percentile(values []float64, percent float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	// Rounded first: 99.9 % of 1,000 is 999.0000000000001 in floating point, whose ceiling would be the maximum.
	rank := int(math.Ceil(math.Round(percent*float64(len(sorted))*1e6)/1e6/100)) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// Ratio returns the median of a[i]/b[i]. Both hold one value for each round: what slowed a whole round down cancels out,
// which it does not in the ratio of two medians. NaN where there are no pairs.
func Ratio(a, b []float64) float64 {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		ratios = append(ratios, a[i]/b[i])
	}
	return Median(ratios)
}

// Minus returns a[i]-b[i].
func Minus(a, b []float64) []float64 {
	var differences []float64
	for i := range min(len(a), len(b)) {
		differences = append(differences, a[i]-b[i])
	}
	return differences
}
