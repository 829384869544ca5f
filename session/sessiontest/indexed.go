package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// selectAll returns what SelectSession does.
func (t *tester) selectAll(s session.Indexed, partial string) []session.Entry {
	t.Helper()
	entries, err := s.SelectSession(t.ctx, partial, 0)
	if err != nil {
		t.Fatalf("SelectSession(%s) = %v; want nil, also where there is no session", brief(partial), err)
	}
	return entries
}

// sessions returns the sessions of entries.
func sessions(entries []session.Entry) (all []string) {
	for _, e := range entries {
		all = append(all, string(e.Session))
	}
	return all
}

// wantSelected checks SelectSession, in order.
func (t *tester) wantSelected(s session.Indexed, partial, when string, want ...string) {
	t.Helper()
	if got := sessions(t.selectAll(s, partial)); !slices.Equal(got, want) {
		t.Errorf("%s: SelectSession(%s) = %.200q; want %.200q", when, brief(partial), got, want)
	}
}

// otpUnique: in OTP's suite 20 clients that connect alike leave one session.
func otpUnique(t *tester, s session.Indexed) {
	together(20, func(g int) {
		if err := s.Update(t.ctx, key("host:443", 1), []byte("one"), ttl); err != nil {
			t.Errorf("Update() by one of 20 = %v; want nil", err)
		}
	})
	t.update(key("host:443", 1), "one", ttl) // the others may all have come before it was there
	if n, err := s.Size(t.ctx); n != 1 || err != nil {
		t.Errorf("Size() = %d, %v after 21 Updates of one key; want 1", n, err)
	}
	t.wantSelected(s, "host:443", "after 21 Updates of one key", "one")
}

// otpCleanup: in OTP's suite the table is empty when the lifetime is over.
func otpCleanup(t *tester, s session.Indexed) {
	var keys []session.Key
	for i := range 20 {
		keys = append(keys, key("host:443", i))
	}
	t.outlive(keys...)
	t.eventually("Size() is 0 when the TTLs of all sessions are over", func() bool {
		n, err := s.Size(t.ctx)
		if err != nil {
			t.Fatalf("Size() = %v", err)
		}
		return n == 0
	})
}

// otpReuse: a client selects a session for its host, and the server looks it up.
func otpReuse(t *tester, s session.Indexed) {
	t.update(key("host:443", 1), "one", ttl)
	t.update(key("host:444", 1), "two", ttl)
	for range 3 { // reuse uses nothing up
		entries, err := s.SelectSession(t.ctx, "host:443", 1)
		if err != nil || len(entries) != 1 {
			t.Fatalf("SelectSession() = %d sessions, %v; want 1", len(entries), err)
		}
		if e := entries[0]; e.Key != key("host:443", 1) || string(e.Session) != "one" {
			t.Errorf("SelectSession() = %s, %s; want the key and the session of the host", show(e.Key), brief(string(e.Session)))
		}
		t.wantFound(entries[0].Key, "one", "by the key that SelectSession returned")
	}
}

func newestFirst(t *tester, s session.Indexed) {
	for _, i := range []int{3, 1, 4, 0, 2} {
		t.update(key("host", i), fmt.Sprint(i), ttl)
		t.update(key("other", i), "other", ttl)
	}
	t.wantSelected(s, "host", "after Updates of 3, 1, 4, 0 and 2", "2", "0", "4", "1", "3")
	t.update(key("host", 4), "new", ttl)
	t.wantSelected(s, "host", "after another Update of 4", "new", "2", "0", "1", "3")
	t.update(key("host", 3), "brief", ttl/2)
	t.wantSelected(s, "host", "after another Update of 3 with a shorter TTL", "brief", "new", "2", "0", "1")
	if err := s.Update(t.ctx, key("host", 1), nil, 0); err == nil {
		t.Errorf("Update with a TTL of 0 = nil; want session.ErrBadTTL")
	}
	t.wantSelected(s, "host", "after an Update of 1 that was refused", "brief", "new", "2", "0", "1")
}

func limit(t *tester, s session.Indexed) {
	const n = 5
	for i := range n {
		t.update(key("host", i), fmt.Sprint(i), ttl)
	}
	for limit, want := range map[int]int{1: 1, 3: 3, n: n, n + 1: n, 0: n, -1: n} {
		entries, err := s.SelectSession(t.ctx, "host", limit)
		if err != nil || len(entries) != want || len(entries) > 0 && string(entries[0].Session) != fmt.Sprint(n-1) {
			t.Errorf("SelectSession() with limit %d = %q, %v; want %d of %d sessions, from the newest on",
				limit, sessions(entries), err, want, n)
		}
	}
}

func exactPartial(t *tester, s session.Indexed) {
	keys := hostileKeys()
	want := map[string][]string{}
	for i, k := range keys {
		t.update(k, fmt.Sprint("session ", i), ttl)
		want[k.Partial] = append(want[k.Partial], fmt.Sprint("session ", i))
	}
	for partial, all := range want {
		slices.Reverse(all)
		t.wantSelected(s, partial, "partial keys that look alike", all...)
	}
	t.wantSelected(s, "b", "a partial key without sessions")
}

// entriesExpire allows for the time that Update took, and for a Store that caps its TTLs.
func entriesExpire(t *tester, s session.Indexed) {
	const life = time.Minute
	earliest := time.Now().Add(life - grain)
	t.update(key("host", 1), "one", life)
	latest := time.Now().Add(life + grain)
	within := func(from string, e session.Entry) {
		t.Helper()
		if e.Expires.Before(earliest) || e.Expires.After(latest) {
			t.Errorf("%s: Expires is %v off the end of its TTL; want at most %v", from, e.Expires.Sub(latest), grain)
		}
	}
	for _, e := range t.selectAll(s, "host") {
		within("SelectSession", e)
	}
	for e := range s.All(t.ctx) {
		within("All", e)
	}
	for _, keepLast := range []bool{true, false} {
		e, err := s.TakeNewest(t.ctx, "host", keepLast)
		if err != nil {
			t.Fatalf("TakeNewest() = %v", err)
		}
		within("TakeNewest", e)
	}
}

func entriesCopied(t *tester, s session.Indexed) {
	k := key("host", 1)
	spoil := func(from string, e session.Entry) {
		t.Helper()
		copy(e.Session, "XXXX")
		t.wantFound(k, "mine", "after the caller wrote to what "+from+" returned")
	}
	t.update(k, "mine", ttl)
	for _, e := range t.selectAll(s, "host") {
		spoil("SelectSession", e)
	}
	for e := range s.All(t.ctx) {
		spoil("All", e)
	}
	if e, err := s.TakeNewest(t.ctx, "host", true); err == nil {
		spoil("TakeNewest with keepLast", e)
	}
}

func indexExpires(t *tester, s session.Indexed) {
	t.update(key("host", 0), "long-lived", ttl)
	t.outlive(key("host", 1), key("host", 2), key("gone", 1))
	t.wantSelected(s, "host", "newer sessions have expired", "long-lived")
	if got, err := s.SelectSession(t.ctx, "host", 1); len(got) != 1 || err != nil {
		t.Errorf("SelectSession() with limit 1 = %q, %v; want the one session whose TTL is not over", sessions(got), err)
	}
	t.wantSelected(s, "gone", "all sessions have expired")
	for e, err := range s.All(t.ctx) {
		if err != nil || e.Key != key("host", 0) {
			t.Errorf("All yields %s, %v; want nothing whose TTL is over", show(e.Key), err)
		}
	}
	for _, keepLast := range []bool{true, false} {
		if e, err := s.TakeNewest(t.ctx, "gone", keepLast); !errors.Is(err, session.ErrNotFound) {
			t.Errorf("TakeNewest(keepLast %v) = %s, %v; want session.ErrNotFound: all have expired", keepLast, show(e.Key), err)
		}
		if e, err := s.TakeNewest(t.ctx, "host", keepLast); err != nil || e.Key != key("host", 0) {
			t.Errorf("TakeNewest(keepLast %v) = %s, %v; want the only one whose TTL is not over", keepLast, show(e.Key), err)
		}
	}
}

// wantTaken checks what TakeNewest returns; empty: nothing.
func (t *tester) wantTaken(s session.Indexed, keepLast bool, want string) {
	t.Helper()
	e, err := s.TakeNewest(t.ctx, "host", keepLast)
	switch {
	case want == "" && errors.Is(err, session.ErrNotFound):
	case want == "" || err != nil || string(e.Session) != want || e.Key.Partial != "host":
		t.Errorf("TakeNewest(keepLast %v) = %s, %s, %v; want %q, newest first, and in the end session.ErrNotFound",
			keepLast, show(e.Key), brief(string(e.Session)), err, want)
	}
}

func takesNewest(t *tester, s session.Indexed) {
	for _, i := range []int{1, 2, 0} {
		t.update(key("host", i), fmt.Sprint(i), ttl)
	}
	t.update(key("other", 1), "other", ttl)
	t.update(key("host", 1), "new", ttl)
	for _, want := range []string{"new", "0", "2", "", ""} {
		t.wantTaken(s, false, want)
	}
	t.wantAbsent(key("host", 1), "after TakeNewest of it")
	t.wantFound(key("other", 1), "other", "after TakeNewest of another partial key")
}

func keepsLast(t *tester, s session.Indexed) {
	t.wantTaken(s, true, "")
	for i := range 3 {
		t.update(key("host", i), fmt.Sprint(i), ttl)
	}
	for _, want := range []string{"2", "1", "0", "0", "0"} { // the last one stays
		t.wantTaken(s, true, want)
	}
	t.wantFound(key("host", 0), "0", "kept as the last")
	t.wantAbsent(key("host", 1), "taken, as there was another one")
	t.wantTaken(s, false, "0")
	t.wantTaken(s, true, "")
}

func deletePartial(t *tester, s session.Indexed) {
	const n = 70
	for i := range n {
		t.update(key("host", i), "one", ttl)
	}
	t.update(key("other", 1), "other", ttl)
	for _, want := range []int{n, 0} {
		if got, err := s.DeletePartial(t.ctx, "host"); got != want || err != nil {
			t.Errorf("DeletePartial() = %d, %v; want %d", got, err, want)
		}
	}
	for i := range n {
		t.wantAbsent(key("host", i), "after DeletePartial")
	}
	t.wantSelected(s, "host", "after DeletePartial")
	t.wantTaken(s, false, "")
	t.wantFound(key("other", 1), "other", "after DeletePartial of another partial key")
	t.update(key("host", 1), "back", ttl)
	t.wantSelected(s, "host", "stored again after DeletePartial", "back")
}

func allOnce(t *tester, s session.Indexed) {
	const n = 300
	for i := range n {
		t.update(key(fmt.Sprint("host ", i%7), i), fmt.Sprint(i), ttl)
	}
	seen := map[session.Key]int{}
	for e, err := range s.All(t.ctx) {
		if err != nil {
			t.Fatalf("All yields %v", err)
		}
		seen[e.Key]++
		if string(e.Session) == "" || e.Key != key(e.Key.Partial, number(e.Session)) {
			t.Errorf("All yields %s with the session %s of another", show(e.Key), brief(string(e.Session)))
		}
	}
	for i := range n {
		if k := key(fmt.Sprint("host ", i%7), i); seen[k] != 1 {
			t.Errorf("All yields %s %d times; want once", show(k), seen[k])
		}
	}
	if got, err := s.Size(t.ctx); len(seen) != n || got != n || err != nil {
		t.Errorf("All yields %d sessions, Size() = %d, %v; want %d", len(seen), got, err, n)
	}
	yielded := 0
	s.All(t.ctx)(func(session.Entry, error) bool { yielded++; return false })
	if yielded != 1 {
		t.Errorf("All yields %d sessions to a loop that ends with the first; want 1", yielded)
	}
}

// number returns the number that a session of allOnce is.
func number(s []byte) (n int) {
	fmt.Sscan(string(s), &n)
	return n
}

// allChanges deletes and stores within the loop: no lock may be held meanwhile.
func allChanges(t *tester, s session.Indexed) {
	const n = 20
	for i := range n {
		t.update(key("host", i), "old", ttl)
	}
	visited := 0
	for e, err := range s.All(t.ctx) {
		if err != nil {
			t.Fatalf("All yields %v", err)
		}
		if string(e.Session) != "old" {
			continue // what is stored meanwhile may be seen, or not
		}
		visited++
		if visited == 1 && !t.returns(func() { t.withinAll(s) }) {
			t.Errorf("a call within All's loop does not return; want no lock to be held meanwhile")
			return
		}
		if err := s.Delete(t.ctx, e.Key); err != nil {
			t.Errorf("Delete() within All = %v", err)
		}
		t.update(session.Key{Partial: "new", ID: e.Key.ID}, "new", ttl)
	}
	if visited != n || len(t.selectAll(s, "host")) != 0 || len(t.selectAll(s, "new")) != n {
		t.Errorf("All yields %d sessions, %d stay and %d are new; want %d, 0 and %d, as its loop deleted and stored them",
			visited, len(t.selectAll(s, "host")), len(t.selectAll(s, "new")), n, n)
	}
}

// withinAll makes every call but Close.
func (t *tester) withinAll(s session.Indexed) {
	k := key("within", 1)
	for _, c := range append(t.calls()[2:], append(t.calls()[:2], indexCalls(s)...)...) {
		if c.name == "All" { // the loop's own sessions are there
			for range s.All(t.ctx) {
				continue
			}
			continue
		}
		if err := c.do(t.ctx, k); unexpected(err) {
			t.Errorf("%s within All = %v; want what it returns elsewhere", c.name, err)
		}
	}
}

// indexAgrees removes sessions in every way, and looks for them in every way.
func indexAgrees(t *tester, s session.Indexed) {
	for i := range 8 {
		t.update(key("host", i), fmt.Sprint(i), ttl)
	}
	t.update(key("host", 8), "8", short)
	t.update(key("host", 1), "new", ttl)
	t.update(key("host", 1), "newer", ttl)
	_, errTake := s.Take(t.ctx, key("host", 2))
	errDelete := s.Delete(t.ctx, key("host", 3))
	errContext := s.Update(t.ctx, key("host", 4), nil, -1)
	_, errNewest := s.TakeNewest(t.ctx, "host", true) // "newer"
	if err := errors.Join(errTake, errDelete, errNewest); err != nil || errContext == nil {
		t.Fatalf("a call failed that must not, or the reverse: %v", err)
	}
	t.pause(short + grain)
	want := []string{"7", "6", "5", "4", "0"}
	t.wantSelected(s, "host", "after removals of every kind", want...)
	for _, e := range t.selectAll(s, "host") {
		t.wantFound(e.Key, string(e.Session), "SelectSession shows it")
	}
	for _, i := range []int{1, 2, 3, 8} {
		t.wantAbsent(key("host", i), "SelectSession does not show it")
	}
	t.eventually("Size() is 5 again, as many as SelectSession shows", func() bool {
		n, err := s.Size(t.ctx)
		if err != nil {
			t.Fatalf("Size() = %v", err)
		}
		return n == len(want)
	})
}

// indexCalls are the methods of Indexed.
func indexCalls(s session.Indexed) []call {
	return []call{
		{"SelectSession", func(ctx context.Context, k session.Key) error {
			_, err := s.SelectSession(ctx, k.Partial, 1)
			return err
		}},
		{"TakeNewest", func(ctx context.Context, k session.Key) error {
			_, err := s.TakeNewest(ctx, k.Partial, false)
			return err
		}},
		{"DeletePartial", func(ctx context.Context, k session.Key) error { _, err := s.DeletePartial(ctx, k.Partial); return err }},
		{"Size", func(ctx context.Context, _ session.Key) error { _, err := s.Size(ctx); return err }},
		{"All", func(ctx context.Context, _ session.Key) (last error) {
			for e, err := range s.All(ctx) {
				if last != nil {
					return fmt.Errorf("yields more after an error")
				}
				if e.Key != (session.Key{}) || e.Session != nil || err == nil {
					return fmt.Errorf("yields %s, %v", show(e.Key), err)
				}
				last = err
			}
			return last
		}},
	}
}

func indexDoneContext(t *tester, s session.Indexed) { t.wantDone(indexCalls(s)) }

func indexClosed(t *tester, s session.Indexed) { t.wantClosed(indexCalls(s)) }

// localSame looks at one Store through both doors.
func localSame(t *tester, s session.Local) {
	a, b := key("host", 1), key("host", 2)
	live := new(int)
	if err := s.UpdateLocal(a, session.Item{Bytes: []byte("one"), Live: live}, ttl); err != nil {
		t.Fatalf("UpdateLocal() = %v; want nil", err)
	}
	t.wantFound(a, "one", "stored by UpdateLocal")
	if got, err := s.LookupLocal(a); err != nil || got.Live != live || got.Confirmed || string(got.Bytes) != "one" {
		t.Errorf("LookupLocal() = %+v, %v; want what UpdateLocal got", got, err)
	}
	t.update(b, "two", ttl)
	if got, err := s.LookupLocal(b); err != nil || got.Live != nil || !got.Confirmed || string(got.Bytes) != "two" {
		t.Errorf("LookupLocal() = %+v, %v; want what Update got, confirmed and without a live form", got, err)
	}
	for k, want := range map[session.Key]bool{a: true, key("host", 3): false} {
		if got := s.Demote(k); got != want {
			t.Errorf("Demote(%s) = %v; want %v", show(k), got, want)
		}
	}
	t.wantFound(a, "one", "demoted")
	if got, err := s.TakeLocal(a); err != nil || got.Live != live {
		t.Errorf("TakeLocal() = %+v, %v; want what UpdateLocal got", got, err)
	}
	t.wantAbsent(a, "after TakeLocal")
	if _, err := s.TakeLocal(a); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("second TakeLocal() = %v; want session.ErrNotFound", err)
	}
	if err := s.UpdateLocal(a, session.Item{}, 0); !errors.Is(err, session.ErrBadTTL) {
		t.Errorf("UpdateLocal with a TTL of 0 = %v; want session.ErrBadTTL", err)
	}
	t.store.Close()
	_, errLookup := s.LookupLocal(b)
	_, errTake := s.TakeLocal(b)
	for _, err := range []error{errLookup, errTake, s.UpdateLocal(b, session.Item{}, ttl)} {
		if !errors.Is(err, session.ErrClosed) {
			t.Errorf("LookupLocal, TakeLocal or UpdateLocal after Close = %v; want session.ErrClosed", err)
		}
	}
}
