//go:build race

package tlscache

// raced says that the race detector is on: tests that count run smaller numbers.
const raced = true
