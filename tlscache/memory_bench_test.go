package tlscache

import (
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/sessioncache/sessioncache/session"
)

// issueChain returns a client's certificate with an intermediate one behind it: with the authority's
// own, the server verifies a chain of three.
func (a *authority) issueChain(t testing.TB) func() tls.Certificate {
	t.Helper()
	between := a.intermediate(t)
	return func() tls.Certificate {
		cert := between.issue(t, "client.example")
		cert.Certificate = append(cert.Certificate, between.der)
		return cert
	}
}

// A forgetful cache is that of a client that always comes anew, and asks for tickets.
type forgetful struct{}

func (forgetful) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (forgetful) Put(string, *tls.ClientSessionState)        {}

// A crowd is one kind of clients.
type crowd struct {
	name   string
	change func(*tls.Config)                                       // of the server
	cert   func(t testing.TB, w *authority) func() tls.Certificate // nil: none
}

var crowds = []crowd{
	{"0", nil, nil},
	{"1", anyClient, func(t testing.TB, _ *authority) func() tls.Certificate {
		return func() tls.Certificate { return withExtension(t, 0) }
	}},
	{"3", nil, func(t testing.TB, ca *authority) func() tls.Certificate { return ca.issueChain(t) }},
	{"60KB", anyClient, func(t testing.TB, _ *authority) func() tls.Certificate {
		return func() tls.Certificate { return withExtension(t, 60_000) }
	}},
	{"201", anyClient, func(t testing.TB, _ *authority) func() tls.Certificate {
		return func() tls.Certificate { return withChain(t, 200) }
	}},
}

// held lets clients of a crowd do full handshakes, each with a certificate of its own or all with one,
// and returns what the server's sessions keep from the collector.
func (c crowd) held(t testing.TB, visits int, one bool, bounds session.MemoryConfig) (heap int64, st session.MemoryStats) {
	t.Helper()
	memory := newMemory(t, bounds)
	w := newWorld(t, ServerConfig{Store: memory})
	if c.change != nil {
		c.change(w.server)
	} else if c.cert != nil {
		mutual(w.ca)(w.server)
	}
	if err := w.Install(w.server); err != nil {
		t.Fatal(err)
	}
	client := w.client(tls.VersionTLS13)
	client.ClientSessionCache = forgetful{}
	var issue func() tls.Certificate
	if c.cert != nil {
		issue = c.cert(t, w.ca)
		client.Certificates = []tls.Certificate{issue()}
	}
	const first = 200
	for i := range visits + first {
		if i == first {
			heap = -heapNow() // what the first ones set up is not theirs
		}
		if c.cert != nil && !one {
			client.Certificates = []tls.Certificate{issue()}
		}
		if w.resumes(client) {
			t.Fatal("a client that forgets its tickets resumed")
		}
	}
	return heap + heapNow(), memory.Stats()
}

// BenchmarkSessionMemory measures what sessions hold beside what they weigh. Run it with -benchtime=1x.
func BenchmarkSessionMemory(b *testing.B) {
	for _, c := range crowds {
		for _, clients := range []string{"one", "each"} {
			for _, bound := range []int64{1 << 40, 16 << 20} {
				if c.cert == nil && clients == "each" {
					continue
				}
				b.Run(fmt.Sprintf("chain=%s/clients=%s/MaxBytes=%d", c.name, clients, bound), func(b *testing.B) {
					visits := 20480
					if c.name == "201" || c.name == "60KB" {
						visits = 1024 // none is stored
					}
					for b.Loop() {
						heap, st := c.held(b, visits, clients == "one", session.MemoryConfig{MaxBytes: bound, MaxSessions: 20480})
						b.ReportMetric(float64(st.Sessions), "sessions")
						b.ReportMetric(float64(heap)/float64(max(st.Sessions, 1)), "heap-B/session")
						b.ReportMetric(float64(heap)/1e6, "heap-MB")
						b.ReportMetric(float64(st.Weight)/float64(max(st.Sessions, 1)), "weighed-B/session")
					}
				})
			}
		}
	}
}
