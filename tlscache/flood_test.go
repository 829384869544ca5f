package tlscache

import (
	"bytes"
	"crypto/tls"
	"io"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/sessioncache/sessioncache/session"
)

// hello returns the first message of a client that then vanishes.
func hello(t testing.TB, client *tls.Config) []byte {
	t.Helper()
	a, b := memPipe()
	go func() {
		_ = tls.Client(b, client).Handshake()
		b.Close()
	}()
	buf := make([]byte, 4096)
	n, err := a.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	return bytes.Clone(buf[:n])
}

// flood sends n lone ClientHellos and hangs up after each.
func (w *world) flood(n int) {
	w.t.Helper()
	client := w.client(tls.VersionTLS13)
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	w.floodWith(client, n)
}

// floodWith sends a client's next ClientHello n times, and nothing else.
func (w *world) floodWith(client *tls.Config, n int) {
	w.t.Helper()
	first := hello(w.t, client)
	for range n {
		a, b := memPipe()
		if _, err := b.Write(first); err != nil {
			w.t.Fatal(err)
		}
		b.(*memConn).closeWrite()
		if err := tls.Server(a, w.server).Handshake(); err == nil {
			w.t.Fatal("a handshake without a client completed")
		}
	}
}

// closeWrite ends the direction out, as a client does that has no more to say.
func (c *memConn) closeWrite() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.closed = true
	c.out.more.Broadcast()
}

var _ io.Closer = (*memConn)(nil)

func TestLoneClientHellosEvictNoConfirmedSession(t *testing.T) {
	store := newMemory(t, session.MemoryConfig{MaxSessions: 1000})
	w := newWorld(t, ServerConfig{Store: store})
	mtls := w.config(mutual(w.ca))
	if err := w.Install(mtls); err != nil {
		t.Fatal(err)
	}
	var resumed, withCert, old []*tls.Config
	for range 100 {
		c := w.client(tls.VersionTLS13) // confirmed when it resumed
		w.want("first", c, false)
		w.want("second", c, true)
		resumed = append(resumed, c)
		c = w.client(tls.VersionTLS12) // confirmed by a full handshake
		w.want("first", c, false)
		old = append(old, c)
		c = w.mtls(tls.VersionTLS13, w.ca.issue(t)) // confirmed by its certificate
		resumes(t, mtls, c)
		withCert = append(withCert, c)
	}
	n := number(100_000, 4000)
	w.flood(n)
	if stored := w.Stats().Stored; stored < uint64(n) {
		t.Errorf("%d sessions were stored; want one for each of %d ClientHellos, or the test shows nothing", stored, n)
	}
	for _, c := range append(resumed, old...) {
		w.want("after the flood", c, true)
	}
	for _, c := range withCert {
		if !resumes(t, mtls, c) {
			t.Error("a client with a certificate does not resume after the flood")
		}
	}
	if size, err := store.Size(t.Context()); size > 1000 || err != nil {
		t.Errorf("the store has %d sessions, %v; want at most 1000", size, err)
	}
}

// noDemote is a Local Store that does not know which sessions are spent.
type noDemote struct{ session.Local }

func (noDemote) Demote(session.Key) bool { return false }

// Clients that return, some often and most seldom, on fewer places than clients: each return uses the
// newest session of its client and leaves it a newer one.
func TestReturningClientsResumeMoreThanWithFIFO(t *testing.T) {
	clients, places, visits := number(60_000, 12_000), number(10_000, 2000), number(480_000, 60_000)
	cumulative, sum := make([]float64, clients), 0.0
	for i := range cumulative {
		sum += math.Pow(float64(i+1), -0.9)
		cumulative[i] = sum
	}
	// play returns the share of the visits that resumed, of the second half: at first all fills.
	play := func(visit func(client int) bool) float64 {
		random := rand.New(rand.NewPCG(1, 2))
		resumed := 0
		for i := range visits {
			if visit(sort.SearchFloat64s(cumulative, random.Float64()*sum)) && i >= visits/2 {
				resumed++
			}
		}
		return float64(resumed) / float64(visits-visits/2)
	}
	server := func(demote bool) float64 {
		var store session.Local = newMemory(t, session.MemoryConfig{MaxSessions: places})
		if !demote {
			store = noDemote{store}
		}
		w := newWorld(t, ServerConfig{Store: store})
		m := capture(t, w, w.client(tls.VersionTLS13))
		tickets := make([][]byte, clients)
		return play(func(client int) bool {
			found := tickets[client] != nil && w.unwrapped(tickets[client], m) != nil
			next := m
			next.cs.DidResume = found
			tickets[client] = w.wrapped(next)
			return found
		})
	}
	newest, now := make([]int, clients), 0
	fifo := play(func(client int) bool {
		now++
		found := newest[client] > 0 && newest[client] > now-1-places
		newest[client] = now
		return found
	})
	plain, demoting := server(false), server(true)
	t.Logf("%d clients on %d places: FIFO resumes %.4f, the Server without demotion %.4f, with it %.4f (%.3f times FIFO)",
		clients, places, fifo, plain, demoting, demoting/fifo)
	if demoting < 1.10*fifo {
		t.Errorf("%.4f of the visits resumed; want at least 1.10 times FIFO's %.4f", demoting, fifo)
	}
}
