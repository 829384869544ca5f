package tlscache

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// BenchmarkRevokePrincipal shows that a revocation costs the same however many there were before: of principals that
// were not revoked yet, and of 512 that are time and again. Run it with -benchtime=10000x, or the new ones become
// many themselves.
func BenchmarkRevokePrincipal(b *testing.B) {
	for _, store := range []string{"memory", "remote"} {
		for _, who := range []string{"new", "again"} {
			for _, others := range []int{0, 20_000, 200_000} {
				b.Run(fmt.Sprintf("store=%s/who=%s/after=%d", store, who, others), func(b *testing.B) {
					cfg := ServerConfig{Keyring: ring(b, secret(1)), Store: newMemory(b, session.MemoryConfig{MaxSessions: 1 << 20})}
					if store == "remote" {
						cfg.Store = remote{cfg.Store}
					}
					s := newServer(b, cfg)
					revoke := func(principal string) {
						if err := s.RevokePrincipal(b.Context(), principal); err != nil {
							b.Fatal(err)
						}
					}
					for i := range others {
						revoke("other " + strconv.Itoa(i))
					}
					distinct := 512
					if who == "new" {
						distinct = b.N
					}
					runtime.GC() // of what the others left
					b.ReportAllocs()
					b.ResetTimer()
					for i := range b.N {
						revoke("principal " + strconv.Itoa(i%distinct))
					}
					b.StopTimer()
					if !s.keyring.marks.covers(&sealing.Record{Auth: clock.Stamp{Wall: 1, Order: 1}, Principal: identify("principal 0")}) {
						b.Fatal("the principal is not revoked")
					}
				})
			}
		}
	}
}
