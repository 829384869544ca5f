//go:build race

package tlsstate

// raced says that the race detector is on: tests that count run smaller numbers.
const raced = true
