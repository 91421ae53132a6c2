package stats

import (
	"math"
	"slices"
	"testing"
)

// equal also holds for two NaNs.
func equal(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{nil, math.NaN()},
		{[]float64{7}, 7},
		{[]float64{3, 1}, 2},
		{[]float64{9, 1, 5}, 5},
		{[]float64{1000, 1, 3, 2}, 2.5},
	} {
		before := slices.Clone(c.values)
		if got := Median(c.values); !equal(got, c.want) {
			t.Errorf("Median(%v) = %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(before, c.values) {
			t.Errorf("Median changed its argument from %v to %v: the order of the rounds is lost", before, c.values)
		}
	}
}

func TestPercentile(t *testing.T) {
	thousand := make([]float64, 1000)
	for i := range thousand {
		thousand[i] = float64(1000 - i) // 1000 … 1
	}
	for _, c := range []struct {
		values        []float64
		percent, want float64
	}{
		{nil, 50, math.NaN()},
		{[]float64{4}, 0, 4},
		{[]float64{4}, 99.9, 4},
		{[]float64{2, 1}, 50, 1},
		{[]float64{2, 1}, 51, 2},
		{thousand, 50, 500},
		{thousand, 99, 990},
		{thousand, 99.9, 999},
		{thousand, 100, 1000},
	} {
		if got := Percentile(c.values, c.percent); !equal(got, c.want) {
			t.Errorf("Percentile(%d values, %v) = %v, want %v", len(c.values), c.percent, got, c.want)
		}
	}
}

func TestRatioIsTheMedianOfPairs(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{nil, nil, math.NaN()},
		{[]float64{1}, nil, math.NaN()},
		// The second round is slow for both. The ratio of the medians would be 2.5.
		{[]float64{20, 200, 50}, []float64{10, 100, 20}, 2},
		{[]float64{30, 1}, []float64{10}, 3},
	} {
		if got := Ratio(c.a, c.b); !equal(got, c.want) {
			t.Errorf("Ratio(%v, %v) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestMinus(t *testing.T) {
	if got := Minus([]float64{5, 3, 9}, []float64{1, 4}); !slices.Equal(got, []float64{4, -1}) {
		t.Errorf("Minus = %v, want [4 -1]", got)
	}
}
