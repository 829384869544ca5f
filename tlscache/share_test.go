package tlscache

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// recordIn returns the record of a session that a Memory has.
func recordIn(t testing.TB, m *session.Memory) *sealing.Record {
	t.Helper()
	for e, err := range m.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		item, err := m.LookupLocal(e.Key)
		if err != nil {
			t.Fatal(err)
		}
		return &item.Live.(*liveRecord).Record
	}
	t.Fatal("no session is stored")
	return nil
}

func TestSessionsHoldTheirCertificatesOnce(t *testing.T) {
	if raced {
		t.Skip("one handshake after the other: the race detector finds nothing here")
	}
	const visits = 600
	for _, c := range crowds[:3] {
		t.Run("chain of "+c.name, func(t *testing.T) {
			heap, st := c.held(t, visits, true, session.MemoryConfig{MaxBytes: 1 << 30, MaxSessions: 4096})
			if st.Sessions < visits {
				t.Fatalf("%d sessions are stored; want at least %d", st.Sessions, visits)
			}
			if each := heap / visits; each > 1500 {
				t.Errorf("a session takes %d bytes where all are of one client; want what one without a certificate takes, less than 1500", each)
			}
		})
	}
}

func TestWeightOfASessionIsWhatItHolds(t *testing.T) {
	if raced {
		t.Skip("one handshake after the other: the race detector finds nothing here")
	}
	const visits = 600
	for _, c := range crowds[:3] {
		t.Run("chain of "+c.name, func(t *testing.T) {
			heap, st := c.held(t, visits, false, session.MemoryConfig{MaxBytes: 1 << 30, MaxSessions: 4096})
			held, weighed := heap/visits, st.Weight/int64(st.Sessions)
			// Those of a chain hold the intermediate and the authority together, and weigh them each.
			if weighed < held*9/10 || c.name != "3" && weighed > held*13/10 {
				t.Errorf("a session holds %d bytes and weighs %d; want at most a tenth less and three more", held, weighed)
			}
		})
	}
}

func TestSharedCertificatesLeaveTheSessionAsItWas(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		var wrapped []byte
		memory := newMemory(t, session.MemoryConfig{})
		w := newWorld(t, ServerConfig{Store: memory})
		mutual(w.ca)(w.server)
		if err := w.Install(w.server); err != nil {
			t.Fatal(err)
		}
		wrap := w.server.WrapSession
		w.server.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
			var err error
			if wrapped, err = ss.Bytes(); err != nil {
				t.Error(err)
			}
			return wrap(cs, ss)
		}
		client := w.client(version, showing(w.ca.issueChain(t)()))
		w.want("first visit", client, false)
		r := recordIn(t, memory)
		if got, err := r.State.Bytes(); err != nil || !bytes.Equal(got, wrapped) {
			t.Errorf("the stored session's encoding differs from what crypto/tls wrapped (%v)", err)
		}
		h := tlsstate.HeldBy(r.State)
		if h == nil || len(*h.Peers) != 2 || len(*h.Chains) != 1 || len((*h.Chains)[0]) != 3 || (*h.Chains)[0][0] != (*h.Peers)[0] {
			t.Fatal("the stored session's certificates are not two of the client's, the first of them that of the chain of three")
		}
		for _, c := range (*h.Chains)[0] {
			if cap(c.Raw) > len(c.Raw)+len(c.Raw)/8+16 { // what the allocator rounds to
				t.Errorf("a certificate of %d bytes holds a buffer of %d", len(c.Raw), cap(c.Raw))
			}
			if again := tlsstate.Shared.One(c); again != c {
				t.Error("a stored session's certificate is not the one that all share")
			}
		}
		w.want("second visit", client, true)
	})
}
