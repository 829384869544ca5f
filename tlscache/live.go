package tlscache

import (
	"unsafe"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
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
	tlsstate.ShareCertificates(r.State)
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

// liveBytes returns what a record keeps from the garbage collector, in bytes: itself, the session and
// the session's certificates, each in full, also where other sessions share them. For those
// could go, and leave this one to hold it.
func (r *liveRecord) liveBytes() int {
	return tlsstate.Allocated(int(unsafe.Sizeof(*r))) + tlsstate.Allocated(len(r.Server)) + tlsstate.Bytes(r.State)
}
