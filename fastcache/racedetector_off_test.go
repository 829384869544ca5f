//go:build !race

package fastcache_test

// raced says that the race detector is on: stress loops run fewer rounds.
const raced = false
