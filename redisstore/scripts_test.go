package redisstore

import (
	"crypto/sha1" // what servers name scripts by
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

var scripts = map[string]*script{
	"update": &updateScript, "take": &takeScript, "delete": &deleteScript,
	"takeNewest": &takeNewestScript, "select": &selectScript, "deletePartial": &deletePartialScript,
}

func TestScriptsHaveTheNamesThatServersGiveThem(t *testing.T) {
	for name, sc := range scripts {
		if sum := sha1.Sum([]byte(sc.text)); hex.EncodeToString(sum[:]) != sc.sha {
			t.Errorf("%sScript is %s; want %x", name, sc.sha, sum)
		}
	}
	if got := fmt.Sprint("seq * ", sweep, " % n"); !strings.Contains(updateScript.text, got) || !strings.Contains(updateScript.text, fmt.Sprint("from + ", sweep-1, ")")) {
		t.Errorf("updateScript does not look at sweep places, %d", sweep)
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			cfg := standalone(t, k)
			for name, sc := range scripts {
				if got := mustAsk(t, cfg.Addrs[0], "SCRIPT", "LOAD", sc.text); got != sc.sha {
					t.Errorf("SCRIPT LOAD of %sScript = %s; want %s", name, got, sc.sha)
				}
			}
		})
	}
}

// A server that was restarted, or failed over, knows no script: each is sent in full once.
func TestScriptsAreSentWhereTheServerForgotThem(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			srv := k.start(t, socket(t))
			s := open(t, Config{Addrs: []string{srv.addr}})
			for _, want := range []uint64{1, 1, 2} {
				if want == 2 {
					mustAsk(t, srv.addr, "SCRIPT", "FLUSH")
				}
				update(t, s, session.Key{Partial: "p", ID: "i"}, "s", time.Hour)
				if got := s.Stats().Evals; got != want {
					t.Errorf("Evals = %d; want %d: one for each time that the server forgot", got, want)
				}
			}
		})
	}
}

func update(t testing.TB, s session.Store, key session.Key, b string, ttl time.Duration) {
	t.Helper()
	if err := s.Update(t.Context(), key, []byte(b), ttl); err != nil {
		t.Fatalf("Update() = %v", err)
	}
}

// keysOf returns the keys of a Store and what is left of each, in ms.
func keysOf(t testing.TB, s *Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, addr := range s.cfg.Addrs {
		for k := range strings.Lines(mustAsk(t, addr, "KEYS", s.cfg.Prefix+"*")) {
			k = strings.TrimSuffix(k, "\n")
			all[k] = mustAsk(t, addr, "PTTL", k)
		}
	}
	return all
}

func TestNoKeyIsWithoutATTL(t *testing.T) {
	for _, noScripts := range []bool{false, true} {
		t.Run(fmt.Sprint("NoScripts=", noScripts), func(t *testing.T) {
			cfg := standalone(t, kinds[0])
			cfg.NoScripts = noScripts
			s := open(t, cfg)
			a := session.Key{Partial: "p", ID: "a"}
			update(t, s, a, "s", time.Hour)
			limited(t, s)
			update(t, s, session.Key{Partial: "p", ID: "b"}, "s", 2*time.Hour)
			update(t, s, session.Key{Partial: "p", ID: "c"}, "s", time.Minute)
			update(t, s, a, "s", 1000*time.Hour)
			update(t, s, a, "s", time.Minute)
			if _, err := s.Take(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if !noScripts {
				if _, err := s.TakeNewest(t.Context(), "p", true); err != nil {
					t.Fatal(err)
				}
			}
			limited(t, s)
		})
	}
}

// limited checks that every key of a Store has a TTL.
func limited(t *testing.T, s *Store) {
	t.Helper()
	all := keysOf(t, s)
	if len(all) == 0 {
		t.Fatal("there is no key at all")
	}
	for k, left := range all {
		var ms int64
		if fmt.Sscan(left, &ms); ms <= 0 || ms > session.MaxTTL.Milliseconds()+2000 {
			t.Errorf("PTTL %s = %s; want what is left of at most 7 days", k, left)
		}
	}
}

func TestNothingStaysOfWhatIsRemoved(t *testing.T) {
	for call, remove := range map[string]func(*Store) error{
		"Take":          func(s *Store) error { _, err := s.Take(t.Context(), one); return err },
		"Delete":        func(s *Store) error { return s.Delete(t.Context(), one) },
		"TakeNewest":    func(s *Store) error { _, err := s.TakeNewest(t.Context(), one.Partial, false); return err },
		"DeletePartial": func(s *Store) error { _, err := s.DeletePartial(t.Context(), one.Partial); return err },
	} {
		s := open(t, standalone(t, kinds[0]))
		update(t, s, one, "s", time.Hour)
		if err := remove(s); err != nil {
			t.Errorf("%s = %v", call, err)
		}
		if all := keysOf(t, s); len(all) != 0 {
			t.Errorf("%s leaves %q; want no key", call, all)
		}
	}
}

// SCAN may return a key twice.
func TestAPageHasNoKeyThatWasThereBefore(t *testing.T) {
	met := newSeen()
	for _, p := range []struct{ page, want []string }{{[]string{"a", "b", "a"}, []string{"a", "b"}}, {[]string{"b", "c"}, []string{"c"}}, {nil, nil}} {
		if got := met.fresh(p.page); !slices.Equal(got, p.want) {
			t.Errorf("fresh(%q) = %q; want %q", p.page, got, p.want)
		}
	}
}

// The index outlives its sessions, or they would not be found while they live, and not for long.
func TestTheIndexLivesAsLongAsItsSessions(t *testing.T) {
	s := open(t, standalone(t, kinds[0]))
	for _, life := range []time.Duration{time.Minute, time.Hour, time.Second} {
		update(t, s, session.Key{Partial: "p", ID: life.String()}, "s", life)
	}
	var ms int64
	fmt.Sscan(keysOf(t, s)[s.nameOf("p").index], &ms)
	if left := time.Duration(ms) * time.Millisecond; left < time.Hour-time.Minute || left > time.Hour+2*time.Second {
		t.Errorf("the index lives for %v; want the hour of its longest-lived session", left)
	}
}

// orphan lists ids of which there is no session, as if they had expired, the newest of all.
func orphan(t testing.TB, s *Store, partial string, n int) {
	t.Helper()
	command := []string{"ZADD", s.nameOf(partial).index}
	for i := range n {
		command = append(command, fmt.Sprint(1000+i), fmt.Sprint("orphan ", i))
	}
	mustAsk(t, s.cfg.Addrs[0], command...)
}

func TestExpiredSessionsLeaveTheIndexAsOthersAreStored(t *testing.T) {
	s := open(t, standalone(t, kinds[0]))
	const living = 30
	for i := range living {
		update(t, s, session.Key{Partial: "p", ID: fmt.Sprint(i)}, "s", time.Hour)
	}
	orphan(t, s, "p", 300)
	for i := range 300 {
		update(t, s, session.Key{Partial: "p", ID: fmt.Sprint(i % living)}, "s", time.Hour)
	}
	var listed int
	fmt.Sscan(mustAsk(t, s.cfg.Addrs[0], "ZCARD", s.nameOf("p").index), &listed)
	if listed > living*4/3+sweep || listed < living {
		t.Errorf("%d ids are listed after 300 Updates, of %d sessions and 300 that had expired; want at most a third more than the living", listed, living)
	}
}

// More of them than one script looks at.
func TestAnyNumberOfExpiredSessionsIsPassedOver(t *testing.T) {
	dead := 2*deadPage + 10
	for name, find := range map[string]func(*Store) (int, error){
		"SelectSession with limit 1": func(s *Store) (int, error) { all, err := s.SelectSession(t.Context(), "p", 1); return len(all), err },
		"SelectSession":              func(s *Store) (int, error) { all, err := s.SelectSession(t.Context(), "p", 0); return len(all), err },
		"TakeNewest": func(s *Store) (int, error) {
			e, err := s.TakeNewest(t.Context(), "p", false)
			return len(e.Session), err
		},
		"TakeNewest with keepLast": func(s *Store) (int, error) {
			e, err := s.TakeNewest(t.Context(), "p", true)
			return len(e.Session), err
		},
		"DeletePartial": func(s *Store) (int, error) { return s.DeletePartial(t.Context(), "p") },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, standalone(t, kinds[0]))
			update(t, s, session.Key{Partial: "p", ID: "i"}, "s", time.Hour)
			orphan(t, s, "p", dead)
			if n, err := find(s); n != 1 || err != nil {
				t.Errorf("%s behind %d expired sessions finds %d, %v; want the one that lives", name, dead, n, err)
			}
			if name == "TakeNewest with keepLast" {
				if _, err := s.Lookup(t.Context(), session.Key{Partial: "p", ID: "i"}); err != nil {
					t.Errorf("Lookup() = %v; want the session that was the last", err)
				}
			}
		})
	}
}

// One round trip, as long as the limit is no more than 256.
func TestCallsMakeOneRoundTrip(t *testing.T) {
	s := open(t, standalone(t, kinds[0]))
	for i := range 300 {
		update(t, s, session.Key{Partial: "p", ID: fmt.Sprint(i)}, "s", time.Hour)
	}
	k, ctx := session.Key{Partial: "p", ID: "1"}, t.Context()
	for _, c := range []struct {
		name string
		want uint64
		do   func() error
	}{
		{"Lookup", 1, func() error { _, err := s.Lookup(ctx, k); return err }},
		{"Take", 1, func() error { _, err := s.Take(ctx, k); return err }},
		{"Update", 1, func() error { return s.Update(ctx, k, []byte("s"), time.Hour) }},
		{"Delete", 1, func() error { return s.Delete(ctx, k) }},
		{"TakeNewest", 1, func() error { _, err := s.TakeNewest(ctx, "p", true); return err }},
		{"SelectSession with limit 16", 1, func() error { _, err := s.SelectSession(ctx, "p", 16); return err }},
		{"SelectSession with limit 256", 1, func() error { _, err := s.SelectSession(ctx, "p", 256); return err }},
		{"SelectSession of 298", 2, func() error { _, err := s.SelectSession(ctx, "p", 0); return err }},
		{"DeletePartial of 298", 2, func() error { _, err := s.DeletePartial(ctx, "p"); return err }},
		{"DeletePartial of none", 1, func() error { _, err := s.DeletePartial(ctx, "p"); return err }},
	} {
		before := s.Stats()
		if err := c.do(); err != nil {
			t.Errorf("%s = %v", c.name, err)
		}
		after := s.Stats()
		if got := after.Calls - before.Calls; got != c.want {
			t.Errorf("%s made %d round trips; want %d", c.name, got, c.want)
		}
	}
}
