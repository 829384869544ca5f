package tlscache

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

// A lyingStore answers what it was not asked for. It keeps all that it was ever given, by
// partial key, and notes what is deleted.
type lyingStore struct {
	session.Indexed
	lie func(s *lyingStore, partial string, honest session.Entry) session.Entry

	mu struct {
		sync.Mutex
		seen    []session.Entry
		deleted []session.Key
		asked   []string
	}
}

func (s *lyingStore) Update(ctx context.Context, key session.Key, b []byte, ttl time.Duration) error {
	s.mu.Lock()
	s.mu.seen = append(s.mu.seen, session.Entry{Key: key, Session: slices.Clone(b), Expires: time.Now().Add(ttl)})
	s.mu.Unlock()
	return s.Indexed.Update(ctx, key, b, ttl)
}

func (s *lyingStore) Delete(ctx context.Context, key session.Key) error {
	s.mu.Lock()
	s.mu.deleted = append(s.mu.deleted, key)
	s.mu.Unlock()
	return s.Indexed.Delete(ctx, key)
}

func (s *lyingStore) ask(partial string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.asked = append(s.mu.asked, partial)
}

func (s *lyingStore) TakeNewest(ctx context.Context, partial string, keepLast bool) (session.Entry, error) {
	s.ask(partial)
	e, err := s.Indexed.TakeNewest(ctx, partial, keepLast)
	if l := s.lie(s, partial, e); l.Session != nil {
		return l, nil
	}
	return e, err
}

func (s *lyingStore) SelectSession(ctx context.Context, partial string, limit int) ([]session.Entry, error) {
	s.ask(partial)
	entries, err := s.Indexed.SelectSession(ctx, partial, limit)
	honest := session.Entry{}
	if len(entries) > 0 {
		honest = entries[0]
	}
	if l := s.lie(s, partial, honest); l.Session != nil {
		return []session.Entry{l, l, l}, nil
	}
	return entries, err
}

// another returns the newest entry of another partial key.
func (s *lyingStore) another(partial string) session.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.Backward(s.mu.seen) {
		if e.Key.Partial != partial {
			return e
		}
	}
	return session.Entry{}
}

// strays returns what was deleted at places of which nothing was asked.
func (s *lyingStore) strays() (strays int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range s.mu.deleted {
		if !slices.Contains(s.mu.asked, key.Partial) {
			strays++
		}
	}
	return strays
}

var lies = map[string]func(s *lyingStore, partial string, honest session.Entry) session.Entry{
	"another's entry, key included": func(s *lyingStore, partial string, _ session.Entry) session.Entry {
		return s.another(partial)
	},
	"another's entry under the key asked": func(s *lyingStore, partial string, _ session.Entry) session.Entry {
		e := s.another(partial)
		e.Key.Partial = partial
		return e
	},
	"another's entry under the honest key": func(s *lyingStore, partial string, honest session.Entry) session.Entry {
		e := s.another(partial)
		e.Key = session.Key{Partial: partial, ID: honest.Key.ID}
		return e
	},
	"the honest session in another's place": func(s *lyingStore, partial string, honest session.Entry) session.Entry {
		honest.Key.Partial = s.another(partial).Key.Partial
		return honest
	},
	"no session": func(s *lyingStore, partial string, honest session.Entry) session.Entry {
		honest.Session = []byte{}
		return honest
	},
	"an empty entry": func(*lyingStore, string, session.Entry) session.Entry {
		return session.Entry{Session: []byte{}}
	},
	"a slot that there is not": func(_ *lyingStore, partial string, honest session.Entry) session.Entry {
		honest.Key.ID = "slot 01"
		return honest
	},
}

func TestALyingStoreNeverShowsAServerAnothersCertificate(t *testing.T) {
	for what, lie := range lies {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, singleUse := range []bool{false, true} {
				t.Run(what, func(t *testing.T) { lieToTwo(t, lie, version, singleUse) })
			}
		}
	}
}

// lieToTwo lets two Configs with a certificate each visit a server by way of a Store that lies.
func lieToTwo(t *testing.T, lie func(*lyingStore, string, session.Entry) session.Entry, version uint16, singleUse bool) {
	users := newAuthority(t, "users' CA")
	certs := []tls.Certificate{users.issue(t, "one"), users.issue(t, "two")}
	appeared := make(chan [sha256.Size]byte, 1)
	p := startPeer(t, func(cfg *tls.Config) {
		cfg.MaxVersion = version
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, users.pool()
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			appeared <- sha256.Sum256(cs.PeerCertificates[0].Raw)
			return nil
		}
	})
	store := &lyingStore{Indexed: newTestStore(t), lie: lie}
	var cfgs []*tls.Config
	var clients []*Client
	for _, cert := range certs {
		cfg := p.config()
		cfg.Certificates = []tls.Certificate{cert}
		c := newTestClient(t, ClientConfig{
			Store: store, Keyring: ring(t, secret(1)), Budget: time.Minute, SingleUse: singleUse,
			TLS: cfg, DialContext: dialTo(func() string { return p.addr }),
		})
		if err := c.Install(cfg); err != nil {
			t.Fatal(err)
		}
		cfgs, clients = append(cfgs, cfg), append(clients, c)
	}
	for range 3 {
		for i, cfg := range cfgs {
			for way, visit := range map[string]func() (bool, error){
				"Install":        func() (bool, error) { return p.visit(cfg) },
				"DialTLSContext": func() (bool, error) { return dialAndRead(clients[i]) },
			} {
				if _, err := visit(); err != nil {
					t.Fatalf("%s: %v; want a full handshake at worst", way, err)
				}
				if got, want := <-appeared, sha256.Sum256(certs[i].Certificate[0]); got != want {
					t.Fatalf("%s: the server saw another certificate than that of Config %d", way, i)
				}
			}
		}
	}
	cfgs[0].ClientSessionCache.Put(testName, nil)
	cfgs[0].ClientSessionCache.Put(testName, nil)
	if n := store.strays(); n > 0 {
		t.Errorf("%d deletions at places that were not asked for; want none", n)
	}
	if got := clients[0].Stats().Misses[MissMalformed] + clients[0].Stats().Misses[MissForged]; got == 0 {
		t.Error("no lie was counted; want misses that are malformed or forged")
	}
}

// A place's name is made of the key, but what counts is the key that is sealed in the ticket.
func TestATicketSealedForAnotherKeyIsAMiss(t *testing.T) {
	store := newTestStore(t)
	c := newTestClient(t, ClientConfig{Store: store, Keyring: ring(t, secret(1)), Budget: time.Minute})
	one, two := c.View("one"), c.View("two")
	puts(t, one, "1")
	p := c.pool.(*tickets.StorePool)
	key := two.(*view).key("a")
	found, _ := p.Peek(one.(*view).key("a"), c.clock.Read())
	plain, err := tickets.AppendTicket(nil, one.(*view).key("a"), found.Lent())
	if err != nil {
		t.Fatal(err)
	}
	k := p.Keys().Active
	place := session.Key{Partial: p.Partial(k, key), ID: tickets.SlotName(0)}
	sealed, err := k.Seal(sealing.KindTicket, []byte(place.Partial), tickets.BoundSlot(place), plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Update(t.Context(), place, sealed, time.Hour); err != nil {
		t.Fatal(err)
	}
	wantGets(t, two, "")
	if got := c.Stats().Misses[MissMalformed]; got != 1 {
		t.Errorf("%d malformed misses; want 1", got)
	}
	wantGets(t, one, "1")
}

// A strike looks at all marks before it sets one, so that a repetition is no second strike.
func TestRepeatedEntriesAreNoSecondStrike(t *testing.T) {
	store := &repeating{Indexed: newTestStore(t)}
	v := newTestClient(t, ClientConfig{Store: store, Keyring: ring(t, secret(1)), Budget: time.Minute}).View("test")
	puts(t, v, "1", "2", "3")
	wantGets(t, v, "3")
	v.Put("a", nil)
	wantGets(t, v, "2", "1")
}

// A repeating Store yields every entry twice.
type repeating struct{ session.Indexed }

func (s *repeating) SelectSession(ctx context.Context, partial string, limit int) ([]session.Entry, error) {
	entries, err := s.Indexed.SelectSession(ctx, partial, limit)
	return append(entries, entries...), err
}

// An insistent Store takes nothing away.
type insistent struct{ session.Indexed }

func (s insistent) TakeNewest(ctx context.Context, partial string, _ bool) (session.Entry, error) {
	entries, err := s.Indexed.SelectSession(ctx, partial, 1)
	if err != nil || len(entries) == 0 {
		return session.Entry{}, errors.Join(err, session.ErrNotFound)
	}
	return entries[0], nil
}

func (insistent) Delete(context.Context, session.Key) error { return nil }

func TestAStoreThatKeepsWhatItGivesDoesNotBreakSingleUse(t *testing.T) {
	store := insistent{Indexed: newTestStore(t)}
	v := newTestClient(t, ClientConfig{Store: store, Keyring: ring(t, secret(1)), Budget: time.Minute, SingleUse: true}).View("test")
	puts(t, v, "1", "2")
	wantGets(t, v, "2", "", "")
	puts(t, v, "3")
	wantGets(t, v, "3", "")
}

// An undecided Store returns what it has together with an error, and a buffer that it writes to later.
type undecided struct {
	session.Indexed
	err  error
	lent []byte
}

func (s *undecided) lend(e session.Entry) session.Entry {
	s.lent = append(s.lent[:0], e.Session...)
	e.Session = s.lent
	return e
}

func (s *undecided) TakeNewest(ctx context.Context, partial string, _ bool) (session.Entry, error) {
	clear(s.lent)
	e, err := s.Indexed.TakeNewest(ctx, partial, true)
	return s.lend(e), errors.Join(err, s.err)
}

func (s *undecided) SelectSession(ctx context.Context, partial string, limit int) ([]session.Entry, error) {
	entries, err := s.Indexed.SelectSession(ctx, partial, limit)
	return entries, errors.Join(err, s.err)
}

func TestWhatComesWithAnErrorIsNoAnswer(t *testing.T) {
	store := &undecided{Indexed: newTestStore(t)}
	c := newTestClient(t, ClientConfig{Store: store, Keyring: ring(t, secret(1)), Budget: time.Minute})
	v := c.View("test")
	puts(t, v, "1", "2")
	store.err = errors.New("no")
	wantGets(t, v, "")
	v.Put("a", nil)
	v.Put("a", nil) // would purge the key, if the answers were believed
	store.err = nil
	wantGets(t, v, "1", "1")
}

// What was opened is the Client's own: the Store may use its buffer again.
func TestAStoreMayReuseTheBufferItLent(t *testing.T) {
	store := &undecided{Indexed: newTestStore(t)}
	v := newTestClient(t, ClientConfig{Store: store, Keyring: ring(t, secret(1)), Budget: time.Minute}).View("test")
	puts(t, v, "1")
	cs, ok := v.Get("a")
	if !ok {
		t.Fatal("Get finds nothing")
	}
	clear(store.lent)
	if label, state, err := cs.ResumptionState(); err != nil || string(label) != "1" {
		t.Errorf("the ticket is %q, error %v after the Store wrote to its buffer; want it unchanged", label, err)
	} else if _, err := state.Bytes(); err != nil {
		t.Error(err)
	}
}

// A Store's content is flushed by what is sealed in it, not by where the Store says it is.
func TestFlushDeletesOnlyWhatWasSealedThere(t *testing.T) {
	store := newTestStore(t)
	c := newTestClient(t, ClientConfig{Store: mislabelling{store}, Keyring: ring(t, secret(1)), Budget: time.Minute})
	v := c.View("test")
	puts(t, v, "1", "2", "3")
	before, _ := store.Size(t.Context())
	c.Flush()
	if after, _ := store.Size(t.Context()); after != before {
		t.Errorf("%d entries before, %d after Flush of wrong places; want all to stay", before, after)
	}
}

// A mislabelling Store gives every entry the next one's place.
type mislabelling struct{ session.Indexed }

func (s mislabelling) All(ctx context.Context) iter.Seq2[session.Entry, error] {
	return func(yield func(session.Entry, error) bool) {
		var all []session.Entry
		for e, err := range s.Indexed.All(ctx) {
			if err == nil {
				all = append(all, e)
			}
		}
		for i, e := range all {
			e.Key = all[(i+1)%len(all)].Key
			if !yield(e, nil) {
				return
			}
		}
	}
}

// After Replace, tickets under the former secret are found, and so they are struck too.
func TestAStrikeReachesTicketsUnderFormerSecrets(t *testing.T) {
	keyring := ring(t, secret(1))
	v := newTestClient(t, ClientConfig{Store: newTestStore(t), Keyring: keyring, Budget: time.Minute}).View("test")
	puts(t, v, "1")
	if err := keyring.Replace(secret(2), secret(1)); err != nil {
		t.Fatal(err)
	}
	wantGets(t, v, "1", "1")
	v.Put("a", nil)
	wantGets(t, v, "")
}
