//go:build !race

package brokertest

// RaceDetector reports whether the race detector is on. It allocates, and pools then drop values at random.
const RaceDetector = false
