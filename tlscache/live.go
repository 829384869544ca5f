package tlscache

import (
	"crypto/tls"
	"slices"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

var _ session.Encoder = (*liveRecord)(nil)

// A liveRecord is a record as a Local Store has it.
type liveRecord struct {
	sealing.Record
	keyring *Keyring // to seal it for who asks the Store for its bytes
}

// localItem returns a record as a Local Store keeps it: alive, with certificates that other sessions
// have too held once, and weighed. The record must not be stored yet.
func (r *liveRecord) localItem(confirmed bool) session.Item {
	shareCertificates(r.State)
	return session.Item{Live: r, LiveBytes: r.liveBytes(), Confirmed: confirmed}
}

// SessionBytes returns the record as seal does, under the secret that is active now, so that a Local Store can be
// dumped: session.Encoder. It opens under no other key. What was revoked has no bytes: who restores the dump may
// not know the watermark.
func (r *liveRecord) SessionBytes(key session.Key) ([]byte, error) {
	switch {
	case key.ID != string(r.ID[:]):
		return nil, sealing.ErrMalformed // not where we stored it
	case r.keyring.marks.covers(&r.Record):
		return nil, session.ErrNotFound
	}
	return r.Seal(r.keyring.active(), r.ID)
}

// privateState returns a copy of a session whose exported fields can be written: crypto/tls
// invites its callers to write EarlyData and to append to Extra. The rest is only read.
func privateState(s *tls.SessionState) *tls.SessionState {
	own := *s
	own.Extra = slices.Clip(own.Extra)
	return &own
}

// ownState returns a copy of a session that shares nothing that its giver may write.
func ownState(s *tls.SessionState) *tls.SessionState {
	own := *s
	own.Extra = nil
	for _, e := range s.Extra {
		own.Extra = append(own.Extra, slices.Clone(e))
	}
	return &own
}
