package main

import (
	"math"
	"slices"
)

// median returns NaN for no values.
func median(values []float64) float64 { return percentile(values, 50) }

// percentile returns the p-th percentile, by linear interpolation between the
// two values next to it, or NaN for no values.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := p / 100 * float64(len(sorted)-1)
	low := int(rank)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (rank-float64(low))*(sorted[high]-sorted[low])
}

// ratio returns a/b, and NaN where that says nothing.
func ratio(a, b float64) float64 {
	if b <= 0 || math.IsNaN(a) || math.IsNaN(b) {
		return math.NaN()
	}
	return a / b
}
