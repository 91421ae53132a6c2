//go:build !race

package brokertest

// RaceDetector reports whether the race detector is on. It allocates, and makes pools drop values at random, so tests that
// measure memory are meaningless with it.
const RaceDetector = false
