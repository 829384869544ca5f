package tlscache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// A moodyStore is one elsewhere that fails while a test says so.
type moodyStore struct {
	session.Store
	fails atomic.Bool
}

var errMoody = errors.New("the store is in a mood")

func (s *moodyStore) Lookup(ctx context.Context, key session.Key) ([]byte, error) {
	if s.fails.Load() {
		return nil, errMoody
	}
	return s.Store.Lookup(ctx, key)
}

func (s *moodyStore) Take(ctx context.Context, key session.Key) ([]byte, error) {
	if s.fails.Load() {
		return nil, errMoody
	}
	return s.Store.Take(ctx, key)
}

func (s *moodyStore) Update(ctx context.Context, key session.Key, sealed []byte, ttl time.Duration) error {
	if s.fails.Load() {
		return errMoody
	}
	return s.Store.Update(ctx, key, sealed, ttl)
}

// A fleet is processes that share a Store and secrets, beside a reference: what was revoked when, by a count
// of all that happened, and who knows of it.
type fleet struct {
	outer  *testing.T
	moment moment
	server *tls.Config // without hooks
	local  bool
	// Stateless: the Store has revocations alone, and each ticket is a session that it answers for.
	stateless bool
	clock     *clock.Fake // of all
	store     *moodyStore
	memory    *session.Memory
	procs     []*process
	servers   []*Server // also those of before a restart, which run on
	now       int       // counts what happens
	ever      map[watermark]int
	written   map[place]writing // what the Store has of a watermark under a secret
	sealers   map[sealer]bool   // that there ever were
	issued    []*fleetSession
}

type place struct {
	secret uint32
	of     watermark
}

// A writing is when the revocation was, and the secret that it was sealed under.
type writing struct {
	at     int
	sealed uint32
}

// A sealer is a secret under which a process seals watermarks that lie under names of another, which it had before.
type sealer struct{ names, under uint32 }

type process struct {
	*world
	principal string
	secrets   []uint32 // active first
	retired   []uint32
	known     map[watermark]int
}

type fleetSession struct {
	ticket          []byte
	secret          uint32
	auth            int
	server          string
	principal       string
	home            *process // whose memory has it; nil: the Store
	expires, proved int64    // by the clock
	lost            bool     // its process was restarted
}

// tick begins the next action. What Servers do in their own time, they do before that or as an action, one after the other: of
// two processes that write at once where there is nothing, or something lower, one may write over the other's. For a witness
// that ends in full handshakes, and for a watermark within a minute.
func (f *fleet) tick() int {
	for _, s := range f.servers {
		s.attesting.Wait()
	}
	f.clock.Pass(time.Millisecond)
	f.now++
	return f.now
}

func (f *fleet) newMemory() {
	var err error
	if f.memory, err = session.NewMemory(session.MemoryConfig{MaxTTL: session.MaxTTL}); err != nil {
		f.outer.Fatal(err)
	}
}

func (f *fleet) start(p *process) {
	var accepted []Secret
	for _, id := range p.secrets[1:] {
		accepted = append(accepted, secret(id))
	}
	k := ring(f.outer, secret(p.secrets[0]), accepted...)
	f.clock.Under(&k.clock)
	cfg := ServerConfig{Keyring: k, Budget: long, Store: f.memory, Principal: func(tls.ConnectionState) string { return p.principal }}
	if cfg.Stateless = f.stateless; !f.local {
		cfg.Store = f.store
	}
	s, err := NewServer(cfg)
	if err != nil {
		f.outer.Fatal(err)
	}
	p.world = &world{t: f.outer, server: f.server.Clone(), Server: s}
	if err := s.Install(p.world.server); err != nil {
		f.outer.Fatal(err)
	}
	p.known, p.retired = map[watermark]int{}, nil
	s.publisher.hold()
	f.servers = append(f.servers, s)
}

// hold lets no timer start a pass of the publisher.
func (p *publisher) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.timer == nil {
		p.mu.timer = time.AfterFunc(time.Hour, func() {})
	}
	p.mu.timer.Stop()
	p.mu.passing = true
}

// passNow does a pass of a publisher that is held.
func (s *Server) passNow() {
	s.publisher.mu.Lock()
	s.publisher.mu.passing = false
	s.publisher.mu.Unlock()
	s.pass()
	s.publisher.hold()
}

// things are what may revoke a session.
func (s *fleetSession) things() []watermark {
	of := []watermark{everything, {sealing.OfServerName, s.server}}
	if s.principal != "" {
		id := identify(s.principal)
		of = append(of, watermark{sealing.OfPrincipal, string(id[:])})
	}
	return of
}

// calm keeps the breaker of a guard closed whatever the next operation does: one that opens is another test's. A breaker
// opens when more than half of the calls within a second fail, and no operation makes as many as these.
func calm(g *guard.Guard) {
	for range 20 {
		_, _ = guard.Do(long, g, guard.NoProbe, func(context.Context) (struct{}, error) { return struct{}{}, nil })
	}
}

// on returns the moment of a session's connection at a process.
func (f *fleet) on(p *process, server, principal string) moment {
	m := f.moment
	m.cs.ServerName = server
	p.principal = principal
	calm(p.guard)
	return m
}

func (f *fleet) issue(p *process, server, principal string) {
	at := f.tick()
	n := f.clock.Read().Wall
	s := &fleetSession{secret: p.secrets[0], auth: at, server: server, principal: principal, expires: n + int64(DefaultTTL), proved: n}
	s.ticket = p.wrapped(f.on(p, server, principal))
	f.keep(p, s)
}

func (f *fleet) keep(p *process, s *fleetSession) {
	if f.local {
		s.home = p
	} else if f.store.fails.Load() {
		return // its ticket is a fallback, which other tests look at
	}
	f.issued = append(f.issued, s)
}

// verdict returns whether a session is to be refused at a process, and whether that is certain. It is not where
// Servers that still run write a watermark again, in their own time: one that the Store lost, one
// under the name of another secret, or sealed under one that this process has or has not.
func (f *fleet) verdict(p *process, s *fleetSession) (refused, certain bool) {
	now := f.clock.Read().Wall
	if !slices.Contains(p.secrets, s.secret) || now >= s.expires || s.lost || s.home != nil && s.home != p || !f.local && f.store.fails.Load() {
		return true, true
	}
	if s.principal != "" && now-s.proved >= int64(DefaultMaxAuthAge) {
		return true, true
	}
	if !f.local { // it asks, and remembers
		for sealed := range f.sealers {
			if sealed.names == s.secret && !slices.Contains(p.secrets, sealed.under) {
				return true, false // a Server may have written one again
			}
		}
		for _, of := range s.things() {
			if w, ok := f.written[place{s.secret, of}]; ok && !slices.Contains(p.secrets, w.sealed) {
				return true, false // nothing that cannot be read is believed to be nothing
			}
		}
		for _, of := range s.things() {
			if w, ok := f.written[place{s.secret, of}]; ok {
				p.known[of] = max(p.known[of], w.at)
			}
		}
	}
	certain = true
	for _, of := range s.things() {
		if p.known[of] >= s.auth {
			return true, true
		}
		if f.ever[of] > 0 && !f.local {
			certain = false
		}
	}
	return false, certain
}

func (f *fleet) resume(rt *rapid.T, p *process, s *fleetSession) {
	f.tick()
	refused, certain := f.verdict(p, s)
	m := f.on(p, s.server, s.principal)
	got := p.unwrapped(s.ticket, m) != nil
	if got == refused && certain {
		rt.Fatalf("session of event %d, server %q, principal %q, secret %d: resumed = %v; want %v (secrets %v, misses %v)",
			s.auth, s.server, s.principal, s.secret, got, !refused, p.secrets, p.misses())
	}
	if !got {
		return
	}
	n := f.clock.Read().Wall
	next := &fleetSession{secret: p.secrets[0], auth: s.auth, server: s.server, principal: s.principal, expires: n + int64(DefaultTTL), proved: s.proved}
	if s.principal != "" {
		next.expires = min(next.expires, s.proved+int64(DefaultMaxAuthAge))
	}
	next.ticket = p.wrapped(m.resumed())
	f.keep(p, next)
}

func (f *fleet) revoke(rt *rapid.T, p *process, of watermark, do func(*Server) error) {
	at := f.tick()
	calm(p.guard)
	if err := do(p.Server); (err != nil) != (!f.local && f.store.fails.Load()) {
		rt.Fatalf("revoking = %v; want an error exactly if the Store fails", err)
	}
	f.ever[of] = at
	p.known[of] = at
	if f.local || f.store.fails.Load() {
		return
	}
	for _, id := range p.secrets {
		f.written[place{id, of}] = writing{at, id}
	}
	for _, id := range p.retired {
		f.written[place{id, of}] = writing{at, p.secrets[0]}
	}
}

func (f *fleet) rotate(rt *rapid.T, p *process, ids []uint32) {
	f.tick()
	var accepted []Secret
	for _, id := range ids[1:] {
		accepted = append(accepted, secret(id))
	}
	if err := p.keyring.Replace(secret(ids[0]), accepted...); err != nil {
		rt.Fatal(err)
	}
	gone := slices.DeleteFunc(slices.Concat(p.secrets, p.retired), func(id uint32) bool { return slices.Contains(ids, id) })
	p.secrets, p.retired = ids, gone
	for _, id := range gone {
		f.sealers[sealer{id, ids[0]}] = true
	}
}

// Whatever is revoked where, whatever becomes of secrets, processes, the Store and its watermarks: a session
// does not resume if the process revoked it, or was told of that, or has not the secret; it resumes if none of what
// may revoke it ever was; and nothing ever unrevokes it.
func TestRevocationsInAFleetAreAsAReferenceSays(t *testing.T) {
	w := newWorld(t, ServerConfig{})
	m := capture(t, w, w.client(tls.VersionTLS13))
	plain := &tls.Config{Certificates: w.server.Certificates}
	for _, name := range []string{"memory", "a Store", "stateless"} {
		local := name == "memory"
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				f := &fleet{outer: t, moment: m, server: plain, local: local, stateless: name == "stateless", clock: new(clock.Fake),
					ever: map[watermark]int{}, written: map[place]writing{}, sealers: map[sealer]bool{}}
				f.clock.Stop()
				f.newMemory()
				defer func() { f.memory.Close() }()
				f.store = &moodyStore{Store: remote{f.memory}}
				for range map[bool]int{true: 1, false: 3}[local] {
					p := &process{secrets: []uint32{1, 2}}
					f.start(p)
					f.procs = append(f.procs, p)
				}
				rt.Repeat(f.actions())
			})
		})
	}
}

func (f *fleet) actions() map[string]func(*rapid.T) {
	proc := func(rt *rapid.T) *process { return f.procs[rapid.IntRange(0, len(f.procs)-1).Draw(rt, "process")] }
	server := rapid.SampledFrom([]string{"a", "b"})
	principal := rapid.SampledFrom([]string{"", "x", "y"})
	acts := map[string]func(*rapid.T){
		"issue": func(rt *rapid.T) { f.issue(proc(rt), server.Draw(rt, "server"), principal.Draw(rt, "principal")) },
		"resume": func(rt *rapid.T) {
			if len(f.issued) == 0 {
				rt.Skip()
			}
			f.resume(rt, proc(rt), f.issued[rapid.IntRange(0, len(f.issued)-1).Draw(rt, "session")])
		},
		"revoke": func(rt *rapid.T) {
			p := proc(rt)
			switch rapid.SampledFrom([]string{sealing.OfEverything, sealing.OfServerName, sealing.OfServerName, sealing.OfPrincipal, sealing.OfPrincipal}).Draw(rt, "kind") {
			case sealing.OfEverything:
				f.revoke(rt, p, everything, func(s *Server) error { return s.RevokeAll(context.Background()) })
			case sealing.OfServerName:
				n := server.Draw(rt, "server")
				f.revoke(rt, p, watermark{sealing.OfServerName, n}, func(s *Server) error { return s.RevokeServerName(context.Background(), strings.ToUpper(n)) })
			default:
				n := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "principal")
				id := identify(n)
				f.revoke(rt, p, watermark{sealing.OfPrincipal, string(id[:])}, func(s *Server) error { return s.RevokePrincipal(context.Background(), n) })
			}
		},
		"rotate": func(rt *rapid.T) {
			ids := rapid.Permutation([]uint32{1, 2, 3, 4}).Draw(rt, "secrets")
			f.rotate(rt, proc(rt), ids[:rapid.IntRange(1, 3).Draw(rt, "how many")])
		},
		"restart": func(rt *rapid.T) {
			p := proc(rt)
			f.tick()
			for _, s := range f.issued {
				s.lost = s.lost || s.home == p
			}
			if f.local {
				f.memory.Close()
				f.newMemory()
			}
			f.start(p)
		},
		"time passes": func(rt *rapid.T) {
			f.clock.Pass(rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, DefaultTTL / 2}).Draw(rt, "by"))
		},
	}
	if f.local {
		return acts
	}
	acts["a pass of a publisher"] = func(rt *rapid.T) {
		f.tick()
		s := f.servers[rapid.IntRange(0, len(f.servers)-1).Draw(rt, "server")]
		calm(s.guard)
		s.passNow()
	}
	acts["the Store fails, or works again"] = func(*rapid.T) { f.store.fails.Store(!f.store.fails.Load()) }
	acts["the Store loses a watermark"] = func(rt *rapid.T) {
		if at, ok := f.somewhere(rt); ok {
			delete(f.written, at)
			if err := f.memory.Delete(context.Background(), f.keyOf(at)); err != nil {
				rt.Fatal(err)
			}
		}
	}
	return acts
}

// somewhere draws a place of a watermark in the Store.
func (f *fleet) somewhere(rt *rapid.T) (place, bool) {
	var all []place
	for _, of := range slices.SortedFunc(maps.Keys(f.ever), func(a, b watermark) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
		for id := range uint32(5) {
			if _, ok := f.written[place{id, of}]; ok {
				all = append(all, place{id, of})
			}
		}
	}
	if len(all) == 0 {
		return place{}, false
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(rt, "watermark")], true
}

func (f *fleet) keyOf(at place) session.Key {
	k, err := sealing.DeriveKeys(sealing.Secret(secret(at.secret)))
	if err != nil {
		f.outer.Fatal(err)
	}
	return watermarkKey(at.of.name(k.Namer))
}
