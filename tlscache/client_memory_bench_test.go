package tlscache

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// serverKinds are servers' chains: as most send them, and as none should.
var serverKinds = []struct {
	name  string
	chain func(t testing.TB, i intermediate) tls.Certificate
}{
	{"leaf+intermediate", func(t testing.TB, i intermediate) tls.Certificate { return i.chain(t) }},
	{"60KB", func(t testing.TB, _ intermediate) tls.Certificate { return withExtension(t, 60_000) }},
	{"201", func(t testing.TB, _ intermediate) tls.Certificate { return withChain(t, 200) }},
	{"verified+200", func(t testing.TB, i intermediate) tls.Certificate { return i.chain(t, junk(t, 200, 0)...) }},
}

// BenchmarkClientMemory measures what a Client's tickets of many servers hold, each server with a certificate of its
// own, or all with one. Run it with -benchtime=1x.
func BenchmarkClientMemory(b *testing.B) {
	for _, kind := range serverKinds {
		for _, chains := range []string{"one", "each"} {
			servers := 1000
			if chains == "each" && strings.Contains(kind.name, "20") {
				servers = 100 // to make 200 000 certificates takes minutes
			}
			b.Run(fmt.Sprintf("chain=%s/chains=%s/servers=%d", kind.name, chains, servers), func(b *testing.B) {
				for b.Loop() {
					heap, st := clientHeap(b, servers, chains == "each", kind.chain)
					b.ReportMetric(float64(st.Held), "tickets")
					b.ReportMetric(float64(heap)/float64(servers), "heap-B/server")
					b.ReportMetric(float64(heap)/1e6, "heap-MB")
				}
			})
		}
	}
}

// clientHeap visits servers and returns what the Client keeps from the collector then.
func clientHeap(t testing.TB, servers int, each bool, chain func(testing.TB, intermediate) tls.Certificate) (heap int64, st ClientStats) {
	t.Helper()
	ca := newAuthority(t, "CA")
	between := ca.intermediate(t)
	var now atomic.Pointer[tls.Certificate]
	first := chain(t, between)
	now.Store(&first)
	p := startPeer(t, func(cfg *tls.Config) {
		cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return now.Load(), nil }
	})
	p.mu.offered = nil // not to grow
	c := newTestClient(t, ClientConfig{})
	cfg := &tls.Config{RootCAs: ca.pool(), InsecureSkipVerify: true}
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	const warm = 20
	for i := range servers + warm {
		if i == warm {
			heap = -heapNow()
		}
		if each {
			cert := chain(t, between)
			now.Store(&cert)
		}
		visitor := cfg.Clone()
		visitor.ServerName = fmt.Sprintf("s%d.test", i)
		p.mustVisit(t, visitor, false)
	}
	now.Store(&first)
	return heap + heapNow(), c.Stats()
}
