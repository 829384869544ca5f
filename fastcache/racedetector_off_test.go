//go:build !race

package fastcache

// Raced says that the race detector is on: stress loops run fewer rounds.
const Raced = false
