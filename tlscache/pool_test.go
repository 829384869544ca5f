package tlscache

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// eachPool runs a test on a Client in memory and on one with a Store.
func eachPool(t *testing.T, cfg ClientConfig, test func(t *testing.T, c *Client, v tls.ClientSessionCache)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		c := newTestClient(t, cfg)
		test(t, c, c.View("test"))
	})
	t.Run("store", func(t *testing.T) {
		cfg := cfg
		cfg.Store = newTestStore(t)
		cfg.Budget = time.Minute
		c := newTestClient(t, cfg)
		test(t, c, c.View("test"))
	})
}

func newTestStore(t testing.TB) *session.Memory {
	t.Helper()
	store, err := session.NewMemory(session.MemoryConfig{MaxTTL: session.MaxTTL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// puts stores tickets by label, oldest first; "old:" makes one of TLS 1.2.
func puts(t testing.TB, v tls.ClientSessionCache, labels ...string) {
	t.Helper()
	for _, label := range labels {
		f := fakeTicket{label: label}
		if strings.HasPrefix(label, "old:") {
			f.version = tls.VersionTLS12
		}
		v.Put("a", f.state(t))
	}
}

// gets takes n times.
func gets(t testing.TB, v tls.ClientSessionCache, n int) (labels []string) {
	t.Helper()
	for range n {
		labels = append(labels, labelOf(t, v, "a"))
	}
	return labels
}

func wantGets(t testing.TB, v tls.ClientSessionCache, want ...string) {
	t.Helper()
	if got := gets(t, v, len(want)); !slices.Equal(got, want) {
		t.Errorf("Gets hand out %q; want %q", got, want)
	}
}

func TestTheNewestIsTakenAndTheLastIsKept(t *testing.T) {
	eachPool(t, ClientConfig{}, func(t *testing.T, _ *Client, v tls.ClientSessionCache) {
		puts(t, v, "1", "2", "3")
		wantGets(t, v, "3", "2", "1", "1", "1")
	})
}

func TestSingleUseHandsOutNoTicketTwice(t *testing.T) {
	eachPool(t, ClientConfig{SingleUse: true}, func(t *testing.T, _ *Client, v tls.ClientSessionCache) {
		puts(t, v, "1", "2", "3")
		wantGets(t, v, "3", "2", "1", "", "")
		puts(t, v, "old:4")
		wantGets(t, v, "old:4", "")
	})
}

func TestParallelGetsNeverTakeOneTicketTwiceInSingleUse(t *testing.T) {
	eachPool(t, ClientConfig{SingleUse: true, PerKey: 64}, func(t *testing.T, _ *Client, v tls.ClientSessionCache) {
		for i := range 32 {
			puts(t, v, fmt.Sprint(i))
		}
		var mu sync.Mutex
		seen := map[string]int{}
		var dials sync.WaitGroup
		for range 64 {
			dials.Go(func() {
				label := labelOf(t, v, "a")
				mu.Lock()
				defer mu.Unlock()
				seen[label]++
			})
		}
		dials.Wait()
		if seen[""] != 32 || len(seen) != 33 {
			t.Errorf("64 Gets of 32 tickets: %d found none, %d different; want 32 and 33 with none", seen[""], len(seen))
		}
	})
}

func TestAKeyHoldsPerKeyTicketsTheNewest(t *testing.T) {
	c := newTestClient(t, ClientConfig{PerKey: 3})
	v := c.View("test")
	puts(t, v, "1", "2", "3", "4", "5")
	if n := c.Stats().Held; n != 3 {
		t.Errorf("%d tickets held; want 3", n)
	}
	wantGets(t, v, "5", "4", "3", "3")
}

// In a Store the slots bound a key, whatever the order in which they are overwritten.
func TestAKeyOfAStoreHoldsPerKeyTickets(t *testing.T) {
	store := newTestStore(t)
	c := newTestClient(t, ClientConfig{PerKey: 3, Store: store})
	v := c.View("test")
	for i := range 20 {
		puts(t, v, fmt.Sprint(i))
	}
	if n, err := store.Size(t.Context()); err != nil || n != 3 {
		t.Errorf("the Store has %d sessions, error %v; want 3", n, err)
	}
	wantGets(t, v, "19", "18", "17", "17")
}

func TestOneVersionReplacesTheOther(t *testing.T) {
	eachPool(t, ClientConfig{}, func(t *testing.T, _ *Client, v tls.ClientSessionCache) {
		puts(t, v, "1", "2", "old:3")
		wantGets(t, v, "old:3", "old:3")
		puts(t, v, "old:4")
		wantGets(t, v, "old:4", "old:4")
		puts(t, v, "5", "6")
		wantGets(t, v, "6", "5", "5")
	})
}

// A ticket that was handed out has been used; the fresh one that came is better in any case.
func TestAFreshTicketReplacesThoseHandedOut(t *testing.T) {
	eachPool(t, ClientConfig{}, func(t *testing.T, _ *Client, v tls.ClientSessionCache) {
		puts(t, v, "1")
		wantGets(t, v, "1", "1")
		puts(t, v, "2", "3")
		wantGets(t, v, "3", "2", "2")
	})
}

func TestTheFirstStrikeSparesWhatWasNeverHandedOut(t *testing.T) {
	eachPool(t, ClientConfig{}, func(t *testing.T, _ *Client, v tls.ClientSessionCache) {
		puts(t, v, "1", "2", "3")
		wantGets(t, v, "3")
		v.Put("a", nil) // a cancelled dial, say
		wantGets(t, v, "2", "1")
		v.Put("a", nil)
		wantGets(t, v, "") // 1 was held, and handed out
	})
}

func TestTheSecondStrikeInARowPurgesTheKey(t *testing.T) {
	eachPool(t, ClientConfig{}, func(t *testing.T, _ *Client, v tls.ClientSessionCache) {
		v.Put("b", fakeTicket{label: "b"}.state(t))
		puts(t, v, "1", "2", "3", "4")
		wantGets(t, v, "4")
		v.Put("a", nil)
		wantGets(t, v, "3")
		v.Put("a", nil)
		wantGets(t, v, "")
		if got := labelOf(t, v, "b"); got != "b" {
			t.Errorf("Get of another key = %q; want its ticket", got)
		}
	})
}

func TestATicketInBetweenEndsTheRowOfStrikes(t *testing.T) {
	eachPool(t, ClientConfig{}, func(t *testing.T, _ *Client, v tls.ClientSessionCache) {
		puts(t, v, "1", "2", "3")
		wantGets(t, v, "3")
		v.Put("a", nil)
		puts(t, v, "4")
		wantGets(t, v, "4")
		v.Put("a", nil)
		wantGets(t, v, "2", "1")
	})
}

// Trap: a late failure deletes what another connection has just stored.
func TestAStrikeSparesATicketThatCameMeanwhile(t *testing.T) {
	eachPool(t, ClientConfig{}, func(t *testing.T, _ *Client, v tls.ClientSessionCache) {
		for _, first := range []string{"1", "old:1"} {
			puts(t, v, first)
			wantGets(t, v, first)
			fresh := strings.Replace(first, "1", "2", 1)
			puts(t, v, fresh)
			v.Put("a", nil)
			wantGets(t, v, fresh)
		}
	})
}

func TestTicketsAreNotOfferedAtTheirDeadline(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ticket fakeTicket
		age    time.Duration // when it is put
		maxAge time.Duration
		want   time.Duration // its life in the pool
	}{
		{name: "the server's lifetime", ticket: fakeTicket{life: time.Hour}, want: time.Hour},
		{name: "the longest of TLS 1.3", ticket: fakeTicket{life: 7 * 24 * time.Hour}, want: 7 * 24 * time.Hour},
		{name: "TLS 1.2 says nothing", ticket: fakeTicket{version: tls.VersionTLS12}, want: 24 * time.Hour},
		{name: "MaxAge of TLS 1.3", ticket: fakeTicket{life: time.Hour}, maxAge: time.Minute, want: time.Minute},
		{name: "MaxAge of TLS 1.2", ticket: fakeTicket{version: tls.VersionTLS12}, maxAge: time.Minute, want: time.Minute},
		{name: "some seconds on its way to us", ticket: fakeTicket{life: time.Hour}, age: 5 * time.Second, want: time.Hour - 5*time.Second},
		{name: "a clock of the Config's own", ticket: fakeTicket{life: time.Hour, created: time.Unix(1e9, 0)}, want: time.Hour - time.Second},
		{name: "a clock ahead", ticket: fakeTicket{life: time.Hour, created: time.Unix(1e10, 0)}, want: time.Hour - time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := tt.ticket
				f.label = "1"
				if f.created.IsZero() {
					f.created = time.Now().Add(-tt.age) // by the bubble's clock
				}
				c := newTestClient(t, ClientConfig{MaxAge: tt.maxAge})
				v := c.View("test")
				v.Put("a", f.state(t))
				time.Sleep(tt.want - 1)
				wantGets(t, v, "1")
				time.Sleep(time.Nanosecond)
				wantGets(t, v, "")
			})
		})
	}
}

func TestTicketsWithoutALifeAreRefused(t *testing.T) {
	c := newTestClient(t, ClientConfig{})
	v := c.View("test")
	for name, f := range map[string]fakeTicket{
		"longer than TLS 1.3 allows": {life: 8 * 24 * time.Hour},
		"over before it began":       {life: -time.Second},
		"no ticket":                  {label: ""},
	} {
		if name != "no ticket" {
			f.label = "1"
		}
		v.Put("a", f.state(t))
		if got := labelOf(t, v, "a"); got != "" {
			t.Errorf("%s: Get = %q; want none", name, got)
		}
	}
	if st := c.Stats(); st.Refused != 3 || st.Stored != 0 {
		t.Errorf("Stats = %+v; want 3 refused", st)
	}
}

// A TLS 1.2 server renews the ticket on every resumption, but the master secret stays.
func TestAMasterSecretDoesNotOutliveItsDayByRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestClient(t, ClientConfig{}).View("test")
		renewed := func(label, secret string) {
			v.Put("a", fakeTicket{label: label, version: tls.VersionTLS12, secret: secret}.state(t))
		}
		renewed("1", "first")
		for range 11 {
			time.Sleep(2 * time.Hour)
			renewed("1+", "first")
		}
		time.Sleep(2*time.Hour - 1)
		wantGets(t, v, "1+")
		time.Sleep(time.Nanosecond)
		wantGets(t, v, "")
		renewed("2", "second")
		time.Sleep(23 * time.Hour)
		wantGets(t, v, "2")
	})
}

// A server that declines a ticket has most likely lost the keys of older ones too.
func TestADeclinedTicketTakesOlderOnesWithIt(t *testing.T) {
	c := newTestClient(t, ClientConfig{})
	cfg := &tls.Config{ServerName: "a"}
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	v := cfg.ClientSessionCache
	full := tls.ConnectionState{ServerName: "a"}
	wantGets(t, v, "")
	puts(t, v, "1", "2", "3-")
	wantGets(t, v, "3-")
	if err := cfg.VerifyConnection(full); err != nil { // of the dial that found no ticket
		t.Fatal(err)
	}
	puts(t, v, "3")
	wantGets(t, v, "3")
	puts(t, v, "4") // of a parallel dial that has reached the new server
	if err := cfg.VerifyConnection(full); err != nil {
		t.Fatal(err)
	}
	puts(t, v, "5")
	wantGets(t, v, "5", "4", "4")
}

// A full Client knows as many servers as a cache of one ticket per name would.
func TestAFullClientKeepsOneTicketPerName(t *testing.T) {
	const names = 32
	c := newTestClient(t, ClientConfig{MaxSessions: names + 1})
	v := c.View("test")
	for round := range 3 {
		for i := range names {
			for n := range 2 { // as OpenSSL does
				v.Put(fmt.Sprint(i), fakeTicket{label: fmt.Sprint(round, n)}.state(t))
			}
		}
	}
	known := 0
	for i := range names {
		if labelOf(t, v, fmt.Sprint(i)) != "" {
			known++
		}
	}
	if known < names {
		t.Errorf("%d of %d names have a ticket; want all", known, names)
	}
}

// The quick way to read a state must say what the documented one says.
func TestFactsAreReadWithoutEncoding(t *testing.T) {
	for _, f := range []fakeTicket{{label: "1", life: time.Hour}, {label: "2", version: tls.VersionTLS12}} {
		_, state, err := f.state(t).ResumptionState()
		if err != nil {
			t.Fatal(err)
		}
		fields := tlsstate.FieldsOf(state)
		if fields == nil {
			t.Fatal("this Go has other fields in tls.SessionState: Put is slow now, and right")
		}
		got := fields.Read(state)
		want, ok := tlsstate.DecodeFacts(f.encode())
		if !ok || !got.Equal(want) {
			t.Errorf("read %+v; want %+v, %v", got, want, ok)
		}
	}
}

// The copies that DialTLSContext keeps for a name take no room from tickets of addresses.
func TestMirrorsGoFirst(t *testing.T) {
	const hosts = 16
	c := newTestClient(t, ClientConfig{MaxSessions: hosts})
	dials := make([]*dialView, hosts)
	for i := range dials {
		dials[i] = c.newDialView(fmt.Sprint("host", i), memAddr{})
		dials[i].Put("", fakeTicket{label: fmt.Sprint("of ", i)}.state(t))
	}
	for i, d := range dials {
		if got, want := labelOf(t, d, ""), fmt.Sprint("of ", i); got != want || d.key != d.endpoint {
			t.Errorf("host %d: Get = %q, of its address: %v; want %q", i, got, d.key == d.endpoint, want)
		}
	}
}

// A caller that saw a ticket before another took its place, and removes it now, must not
// remove the other.
func TestAReplacedTicketIsNotRemovedInAnothersPlace(t *testing.T) {
	c := newTestClient(t, ClientConfig{})
	v, p := c.View("test"), c.pool.(*tickets.MemoryPool)
	key := v.(*view).key("a")
	puts(t, v, "used")
	used, _ := p.Take(key, c.clock.Read())
	puts(t, v, "fresh")
	for _, remove := range []func(){
		func() { p.Discard(key, used.(*tickets.MemoryTicket)) },
		func() { p.GiveBack(key, used, always) },
		func() { p.Remove(key, used.(*tickets.MemoryTicket)) },
	} {
		remove()
		if fresh, _ := p.Peek(key, c.clock.Read()); fresh == nil || string(fresh.Lent().Label) != "fresh" {
			t.Fatalf("the key has %v; want the fresh ticket", fresh)
		}
	}
}

// Each of two tickets that come at once may take the place of the one that was used, and
// neither may take that of the other.
func TestTicketsThatComeTogetherAllStay(t *testing.T) {
	c := newTestClient(t, ClientConfig{})
	v := c.View("test")
	for round := range 2000 {
		c.Flush()
		puts(t, v, "used")
		wantGets(t, v, "used")
		var puts sync.WaitGroup
		for i := range 3 {
			fresh := fakeTicket{label: fmt.Sprint("fresh ", i)}.state(t)
			puts.Go(func() { v.Put("a", fresh) })
		}
		puts.Wait()
		if held := c.Stats().Held; held != 3 {
			t.Fatalf("round %d: %d tickets held after three came at once; want 3", round, held)
		}
	}
}
