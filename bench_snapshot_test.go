package sessioncache_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
)

// BenchmarkSnapshot writes a million sessions, or reads them into an empty cache; one operation is the whole. The sessions belong to
// partial keys of ten, or of one, as a gateway's do. A value takes 64 bytes in the snapshot.
func BenchmarkSnapshot(b *testing.B) {
	for _, hosts := range []int{1e5, 1} {
		l := load{sessions: 1e6, hosts: hosts}
		for _, op := range []string{"write", "read"} {
			b.Run(fmt.Sprintf("%s/hosts=%d/%s", size(l.sessions), hosts, op), func(b *testing.B) {
				forget()
				c := newEmpty(b, l.sessions, fastcache.Config[*session]{})
				fill(b, c, l.all())
				snapshot := snapshotOf(b, c, make([]byte, 0, l.sessions*192))
				b.SetBytes(int64(len(snapshot)))
				b.ReportAllocs()
				for b.Loop() {
					if op == "write" {
						snapshot = snapshotOf(b, c, snapshot)
						continue
					}
					b.StopTimer()
					to := newEmpty(b, l.sessions, fastcache.Config[*session]{})
					b.StartTimer()
					got, err := to.ReadSnapshot(bytes.NewReader(snapshot), decodeSession)
					if err != nil || got.Stored != l.sessions {
						b.Fatalf("ReadSnapshot = %+v, %v", got, err)
					}
				}
				perSession(b, l.sessions)
				b.ReportMetric(float64(len(snapshot))/float64(l.sessions), "file-B/session")
			})
		}
	}
}

// snapshotOf writes a snapshot into a buffer that is large enough.
func snapshotOf(b *testing.B, c *fastcache.Cache[*session], buffer []byte) []byte {
	w := bytes.NewBuffer(buffer[:0])
	n, err := c.WriteSnapshot(w, func(dst []byte, _ fastcache.Key, v *session) ([]byte, error) {
		return append(dst, v[:64]...), nil
	})
	if err != nil || n != c.Size() {
		b.Fatalf("WriteSnapshot = %d, %v; want %d", n, err, c.Size())
	}
	return w.Bytes()
}

// decodeSession has no session made, so that what ReadSnapshot costs is seen.
func decodeSession(_ fastcache.Key, data []byte) (*session, error) {
	if len(data) != 64 {
		return nil, errors.New("a session has another size")
	}
	return &sessions()[binary.LittleEndian.Uint64(data)], nil
}
