//go:build !race

package tlscache

const raced = false
