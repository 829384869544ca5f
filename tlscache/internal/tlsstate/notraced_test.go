//go:build !race

package tlsstate

const raced = false
