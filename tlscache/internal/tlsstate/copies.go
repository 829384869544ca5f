package tlsstate

import (
	"crypto/tls"
	"slices"
)

// Private returns a copy of a session whose exported fields can be written: crypto/tls
// invites its callers to write EarlyData and to append to Extra. The rest is only read.
func Private(s *tls.SessionState) *tls.SessionState {
	own := *s
	own.Extra = slices.Clip(own.Extra)
	return &own
}

// Own returns a copy of a session that shares nothing that its giver may write.
func Own(s *tls.SessionState) *tls.SessionState {
	own := *s
	own.Extra = nil
	for _, e := range s.Extra {
		own.Extra = append(own.Extra, slices.Clone(e))
	}
	return &own
}
