package session_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/model"
	"github.com/sessioncache/sessioncache/session"
)

func open(t testing.TB, cfg session.MemoryConfig) *session.Memory {
	t.Helper()
	m, err := session.NewMemory(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return m
}

func key(partial string, id int) session.Key {
	return session.Key{Partial: partial, ID: fmt.Sprint(id)}
}

// store stores a session that is confirmed, or not.
func store(t testing.TB, m *session.Memory, k session.Key, confirmed bool) {
	t.Helper()
	if err := m.UpdateLocal(k, session.Item{Bytes: []byte("record"), Confirmed: confirmed}, time.Hour); err != nil {
		t.Fatalf("UpdateLocal() = %v", err)
	}
}

// kept counts the sessions of a partial key.
func kept(t testing.TB, m *session.Memory, partial string) int {
	t.Helper()
	entries, err := m.SelectSession(context.Background(), partial, 0)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNewMemoryNamesEveryFaultyField(t *testing.T) {
	_, err := session.NewMemory(session.MemoryConfig{MaxSessions: -1, MaxPerPartial: -2, MaxBytes: -3, MaxSessionSize: -4, MaxTTL: 169 * time.Hour})
	const want = "session: MaxSessions is -1; want at least 1, or 0 for 20480; " +
		"MaxPerPartial is -2; want at least 1, or 0 for no quota; MaxBytes is -3; want at least 256, which an empty session takes, or 0 for no bound; " +
		"MaxSessionSize is -4; want at least 1, or 0 for 16384; MaxTTL is 169h0m0s; want 1ns to 168h0m0s, or 0 for 24h0m0s"
	if err == nil || err.Error() != want {
		t.Errorf("NewMemory() = %v; want %s", err, want)
	}
}

func TestUpdateRefusesWithTheFieldAndTheLimit(t *testing.T) {
	ctx := context.Background()
	m := open(t, session.MemoryConfig{MaxBytes: 1000, MaxSessionSize: 900})
	long := string(make([]byte, 64<<10+1))
	for _, tt := range []struct {
		name string
		key  session.Key
		size int
		ttl  time.Duration
		want error
		text string
	}{
		{"zero TTL", session.Key{}, 1, 0, session.ErrBadTTL, "session: TTL is not positive: 0s"},
		{"negative TTL", session.Key{}, 1, -1, session.ErrBadTTL, "session: TTL is not positive: -1ns"},
		{"long id", session.Key{ID: long}, 1, 1, session.ErrKeyTooLong, "session: part of the key is too long: 65537 bytes; want at most 65536"},
		{"over MaxSessionSize", session.Key{}, 901, 1, session.ErrTooLarge, "session: session is too large: 901 bytes; want at most 900"},
		{"over MaxBytes", session.Key{}, 745, 1, session.ErrTooLarge, "session: session is too large: with its key it takes 1001 bytes; want at most MaxBytes, 1000"},
	} {
		err := m.Update(ctx, tt.key, make([]byte, tt.size), tt.ttl)
		if !errors.Is(err, tt.want) || err.Error() != tt.text {
			t.Errorf("%s: Update() = %v; want %q", tt.name, err, tt.text)
		}
	}
	if err := m.Update(ctx, session.Key{}, make([]byte, 744), 1); err != nil {
		t.Errorf("Update of as much as MaxBytes allows = %v", err)
	}
}

func TestTTLsAreCapped(t *testing.T) {
	for _, tt := range []struct{ maxTTL, ttl, want time.Duration }{
		{0, time.Hour, time.Hour},
		{0, math.MaxInt64, 24 * time.Hour},
		{session.MaxTTL, 8 * 24 * time.Hour, 7 * 24 * time.Hour},
		{time.Minute, time.Hour, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := open(t, session.MemoryConfig{MaxTTL: tt.maxTTL})
			ctx := context.Background()
			if err := m.Update(ctx, key("host", 1), nil, tt.ttl); err != nil {
				t.Fatal(err)
			}
			time.Sleep(tt.want - 1)
			if _, err := m.Lookup(ctx, key("host", 1)); err != nil {
				t.Errorf("MaxTTL %v, TTL %v: Lookup() = %v 1ns before %v; want the session", tt.maxTTL, tt.ttl, err, tt.want)
			}
			time.Sleep(time.Nanosecond)
			if _, err := m.Lookup(ctx, key("host", 1)); !errors.Is(err, session.ErrNotFound) {
				t.Errorf("MaxTTL %v, TTL %v: Lookup() = %v after %v; want ErrNotFound", tt.maxTTL, tt.ttl, err, tt.want)
			}
		})
	}
}

// OTP's suite bounds the table to 5 and has 20 clients connect with different ciphers.
func TestOTPMaxTableSize(t *testing.T) {
	m := open(t, session.MemoryConfig{MaxSessions: 5})
	for i := range 20 {
		if err := m.Update(context.Background(), key("host:443", i), []byte("one"), time.Hour); err != nil {
			t.Fatal(err)
		}
		if n, err := m.Size(context.Background()); err != nil || n != min(i+1, 5) {
			t.Errorf("Size() = %d, %v after %d clients; want %d", n, err, i+1, min(i+1, 5))
		}
	}
}

func TestMaxPerPartialDropsTheOldest(t *testing.T) {
	m := open(t, session.MemoryConfig{MaxPerPartial: 3})
	for i := range 10 {
		store(t, m, key("host", i), true)
		store(t, m, key("other", i/5), true)
	}
	entries, err := m.SelectSession(context.Background(), "host", 0)
	if err != nil || len(entries) != 3 || entries[2].Key != key("host", 7) || kept(t, m, "other") != 2 {
		t.Errorf("%d sessions are left, %v; want the newest 3, and the 2 of another partial key", len(entries), err)
	}
}

func TestMaxBytesBoundsWhatSessionsTake(t *testing.T) {
	m := open(t, session.MemoryConfig{MaxBytes: 100_000})
	ctx := context.Background()
	for i := range 3000 {
		if err := m.Update(ctx, key("host", i), make([]byte, i%2000), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	sum, n := int64(0), 0
	for e, err := range m.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		sum += int64(len(e.Session)+len(e.Key.Partial)+len(e.Key.ID)) + 256
		n++
	}
	if st := m.Stats(); sum > 100_000 || sum < 90_000 || st.Weight != sum || st.Sessions != n {
		t.Errorf("%d sessions take %d bytes, Stats() say %d and %d; want the same, just below 100000", n, sum, st.Sessions, st.Weight)
	}
}

// A server stores a session before its client has proved anything: lone ClientHellos must not
// push out those that have.
func TestFloodOfUnconfirmedSessionsEvictsNoConfirmedOne(t *testing.T) {
	for places, flood := range map[int]int{8: 1000, 64: 5000, 1000: 20_000, 20480: 100_000} {
		for _, share := range []int{0, 1, 4, 8} { // confirmed eighths, the last one: as many as fit
			t.Run(fmt.Sprintf("places=%d/confirmed=%d%%", places, 100*share/8), func(t *testing.T) {
				m := open(t, session.MemoryConfig{MaxSessions: places})
				confirmed := places * share / 8
				if share == 4 {
					confirmed-- // fewer than half
				}
				for i := range confirmed {
					store(t, m, key("confirmed", i), true)
				}
				for i := range flood {
					store(t, m, key("flood", i), false)
				}
				want := confirmed
				if share == 8 {
					want = places/2 - 1 // where the protection begins
				}
				got, others := kept(t, m, "confirmed"), kept(t, m, "flood")
				if share < 8 && got != want || got < want {
					t.Errorf("%d of %d confirmed sessions are left; want %d", got, confirmed, want)
				}
				if got+others != places {
					t.Errorf("%d confirmed and %d other sessions are left; want all %d places taken", got, others, places)
				}
				st := m.Stats()
				if st.Confirmed != got || st.OnProbation != others {
					t.Errorf("Stats() say %d confirmed and %d not; want %d and %d", st.Confirmed, st.OnProbation, got, others)
				}
			})
		}
	}
}

func TestUnconfirmedSessionsAreNotStarved(t *testing.T) {
	m := open(t, session.MemoryConfig{MaxSessions: 1000})
	for i := range 1000 {
		store(t, m, key("confirmed", i), true)
	}
	for i := range 300 {
		store(t, m, key("new", i), false)
	}
	if n := kept(t, m, "new"); n != 300 {
		t.Errorf("%d of 300 newcomers are left among confirmed sessions that hold more than half; want all", n)
	}
	for i := range 10_000 { // confirmed ones come and go, and the others keep a share
		store(t, m, key("confirmed", i), true)
		store(t, m, key("more", i), false)
	}
	if n := kept(t, m, "more"); n < 300 {
		t.Errorf("%d of the newest unconfirmed sessions are left where as many confirmed ones are stored; want a good part of 1000", n)
	}
}

func TestUpdateConfirmsAndDemoteDoesNot(t *testing.T) {
	m := open(t, session.MemoryConfig{MaxSessions: 8})
	store(t, m, key("host", 1), false)
	store(t, m, key("host", 2), false)
	if err := m.Update(context.Background(), key("host", 1), []byte("record"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if !m.Demote(key("host", 2)) || m.Demote(key("host", 3)) {
		t.Error("Demote() does not say whether there is such a session")
	}
	if st := m.Stats(); st.Confirmed != 1 || st.OnProbation != 1 {
		t.Errorf("Stats() say %d confirmed, %d not; want 1 and 1", st.Confirmed, st.OnProbation)
	}
}

// Peers name keys, so they are hashed secretly: sessions whose keys are made to collide displace no other, not
// even each other.
func TestSessionsOfMadeKeysStay(t *testing.T) {
	m := open(t, session.MemoryConfig{})
	const n = 300
	made := func(i int) session.Key { return session.Key{Partial: "p", ID: model.CollidingPart(uint64(i))} }
	for i := range n {
		store(t, m, made(i), true)
	}
	for i := range n {
		if _, err := m.Lookup(context.Background(), made(i)); err != nil {
			t.Errorf("Lookup of session %d of %d: %v", i, n, err)
		}
	}
	if got := kept(t, m, "p"); got != n {
		t.Errorf("%d of %d sessions are left", got, n)
	}
}

// A caller that has looked a session up may be reading it while another takes it and writes to its own copy.
func TestReadersAndTakersShareNoBytes(t *testing.T) {
	m := open(t, session.MemoryConfig{})
	ctx := context.Background()
	takers := map[string]func() ([]byte, error){
		"Lookup": func() ([]byte, error) { return m.Lookup(ctx, key("host", 1)) },
		"Take":   func() ([]byte, error) { return m.Take(ctx, key("host", 1)) },
		"TakeNewest": func() ([]byte, error) {
			e, err := m.TakeNewest(ctx, "host", false)
			return e.Session, err
		},
	}
	for name, take := range takers {
		store(t, m, key("host", 1), true)
		reader, err := m.LookupLocal(key("host", 1))
		if err != nil {
			t.Fatal(err)
		}
		s, err := take()
		if err != nil {
			t.Fatalf("%s() = %v", name, err)
		}
		clear(s)
		if string(reader.Bytes) != "record" {
			t.Errorf("a reader sees %q after another wrote to what %s returned; want %q", reader.Bytes, name, "record")
		}
	}
}

func TestStatsCount(t *testing.T) {
	m := open(t, session.MemoryConfig{RecordStats: true})
	ctx := context.Background()
	store(t, m, key("host", 1), true)
	store(t, m, key("host", 2), true)
	m.Lookup(ctx, key("host", 1))
	m.LookupLocal(key("host", 3))
	m.Take(ctx, key("host", 2))
	want := session.MemoryStats{
		Stats:     fastcache.Stats{Hits: 1, Misses: 1, Inserted: 2, Taken: 1, Sessions: 1, PartialKeys: 1, LongestProbe: 1},
		Confirmed: 1,
	}
	got := m.Stats()
	if got.WakeUps, got.TimerLag, got.WorstTimerLag = 0, 0, 0; got != want {
		t.Errorf("Stats() = %+v; want %+v", got, want)
	}
}

func TestAllocations(t *testing.T) {
	m := open(t, session.MemoryConfig{})
	ctx := context.Background()
	k := session.Key{Partial: "host.example.net:443", ID: "0123456789abcdef0123456789abcdef"}
	item := session.Item{Bytes: make([]byte, 100), Live: new(int)}
	for _, tt := range []struct {
		name string
		want float64
		do   func()
	}{
		{"UpdateLocal of a present key", 1, func() { m.UpdateLocal(k, item, time.Hour) }},
		{"Update of a present key", 2, func() { m.Update(ctx, k, item.Bytes, time.Hour) }},
		{"LookupLocal", 0, func() { m.LookupLocal(k) }},
		{"LookupLocal that misses", 0, func() { m.LookupLocal(session.Key{}) }},
		{"Lookup", 1, func() { m.Lookup(ctx, k) }},
		{"Demote", 0, func() { m.Demote(k) }},
		{"TakeLocal", 0, func() { m.TakeLocal(k) }},
	} {
		if got := testing.AllocsPerRun(500, tt.do); got > tt.want {
			t.Errorf("%s allocates %v times; want at most %v", tt.name, got, tt.want)
		}
	}
}

func TestLiveBytesCountForBothBounds(t *testing.T) {
	m := open(t, session.MemoryConfig{MaxBytes: 10_000, MaxSessionSize: 4000})
	live := func(n int) session.Item {
		return session.Item{Live: &struct{}{}, Bytes: make([]byte, 100), LiveBytes: n, Confirmed: true}
	}
	err := m.UpdateLocal(key("host", 0), live(3901), time.Hour)
	if text := "session: session is too large: 4001 bytes; want at most 4000"; !errors.Is(err, session.ErrTooLarge) || err.Error() != text {
		t.Errorf("UpdateLocal of 100 bytes and 3901 live ones = %v; want %q", err, text)
	}
	if err := m.UpdateLocal(key("host", 0), live(-1), time.Hour); err == nil || err.Error() != "session: LiveBytes is -1; want at least 0" {
		t.Errorf("UpdateLocal with LiveBytes of -1 = %v; want an error that says so", err)
	}
	for i := range 10 {
		if err := m.UpdateLocal(key("host", i), live(3900), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if st := m.Stats(); st.Sessions != 2 || st.Weight != 2*(4000+256+5) {
		t.Errorf("%d sessions of 4261 bytes, %d together, fill 10000; want 2", st.Sessions, st.Weight)
	}
}

func TestNewMemoryRefusesBoundsThatNothingFits(t *testing.T) {
	for _, tt := range []struct {
		cfg  session.MemoryConfig
		want string
	}{
		{session.MemoryConfig{MaxBytes: 10}, "session: MaxBytes is 10; want at least 256, which an empty session takes, or 0 for no bound"},
		{session.MemoryConfig{MaxBytes: 255}, "session: MaxBytes is 255; want at least 256, which an empty session takes, or 0 for no bound"},
		{session.MemoryConfig{MaxBytes: 1000, MaxSessionSize: 1001}, "session: MaxSessionSize is 1001 and MaxBytes is 1000; want MaxBytes to have room for one such session"},
		{session.MemoryConfig{MaxBytes: 256}, ""},
		{session.MemoryConfig{MaxBytes: 1000, MaxSessionSize: 1000}, ""},
	} {
		m, err := session.NewMemory(tt.cfg)
		if got := fmt.Sprint(err); err != nil && got != tt.want || err == nil && tt.want != "" {
			t.Errorf("NewMemory(%+v) = %v; want %q", tt.cfg, err, tt.want)
		}
		if err == nil {
			m.Close()
		}
	}
}
