// Package stats provides the statistics that the benchmark needs.
package stats

import (
	"math"
	"slices"
)

// Median returns the median of the values, which may be in any order. It returns NaN if there are no values.
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

// Percentile returns a percentile of the values, which may be in any order, by the nearest-rank method: the smallest value that
// at least that percentage of the values do not exceed. So it is always a measured value. It returns NaN if there are no values.
func Percentile(values []float64, percent float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	// Round before Ceil: 99.9 % of 1,000 is 999.0000000000001 in floating point, and its ceiling would be the maximum.
	rank := int(math.Ceil(math.Round(percent*float64(len(sorted))*1e6)/1e6/100)) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// Ratio returns the median of a[i]/b[i], where i is the round. A disturbance of a whole round cancels out, which it would not in
// the ratio of two medians. Ratio returns NaN if there are no pairs.
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
