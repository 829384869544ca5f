package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
)

// dated is the tls.ClientSessionCache of one dial. It leaves everything to the Client's, and
// writes into each session how many revocations of its host had begun when it came, so that
// the report can tell whether an offered one had been revoked. It is for one goroutine.
type dated struct {
	tls.ClientSessionCache
	to *host

	made  bool   // an offer was made
	epoch uint32 // of the session that was offered
}

// epochTag marks our entry in a session's Extra, which others may append to as well.
var epochTag = []byte("sessioncache demo epoch ")

// Get notes what is offered.
func (d *dated) Get(name string) (*tls.ClientSessionState, bool) {
	cs, ok := d.ClientSessionCache.Get(name)
	if !ok {
		return nil, false
	}
	_, state, err := cs.ResumptionState()
	if err != nil {
		return nil, false
	}
	d.made = true
	for _, extra := range state.Extra {
		if epoch, ours := bytes.CutPrefix(extra, epochTag); ours && len(epoch) == 4 {
			d.epoch = binary.BigEndian.Uint32(epoch)
		}
	}
	return cs, true
}

// Put dates a session before it is stored.
func (d *dated) Put(name string, cs *tls.ClientSessionState) {
	if _, state, err := cs.ResumptionState(); err == nil && state != nil {
		entry := binary.BigEndian.AppendUint32(bytes.Clone(epochTag), d.to.started.Load())
		state.Extra = append(state.Extra, entry)
	}
	d.ClientSessionCache.Put(name, cs)
}
