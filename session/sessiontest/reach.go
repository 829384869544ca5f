package sessiontest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// see asks for a session in every way, so that what keeps a copy near has it near.
func (t *tester) see(k session.Key) {
	for range 2 {
		_, _ = t.store.Lookup(t.ctx, k)
		if s, ok := t.store.(session.Indexed); ok {
			_, _ = s.SelectSession(t.ctx, k.Partial, 0)
			for range s.All(t.ctx) {
				continue
			}
		}
		if s, ok := t.store.(session.Local); ok {
			_, _ = s.LookupLocal(k)
		}
	}
}

// nowhere checks that no way finds a session.
func (t *tester) nowhere(k session.Key, when string) {
	t.Helper()
	t.wantAbsent(k, when)
	if s, ok := t.store.(session.Local); ok {
		item, err := s.LookupLocal(k)
		t.wantMiss(item.Bytes, err, when+": LookupLocal()")
	}
	if s, ok := t.store.(session.Indexed); ok {
		for _, e := range t.selectAll(s, k.Partial) {
			if e.Key == k {
				t.Errorf("%s: SelectSession shows it", when)
			}
		}
		for e := range s.All(t.ctx) {
			if e.Key == k {
				t.Errorf("%s: All yields it", when)
			}
		}
	}
	got, err := t.store.Take(t.ctx, k)
	t.wantMiss(got, err, when+": Take()")
}

// removals are the ways to remove the session of the plain key.
func (t *tester) removals() []call {
	all := []call{t.calls()[1], t.calls()[3]} // Take, Delete
	if s, ok := t.store.(session.Indexed); ok {
		all = append(all, indexCalls(s)[1:3]...) // TakeNewest, DeletePartial
	}
	if s, ok := t.store.(session.Local); ok {
		all = append(all, call{"TakeLocal", func(_ context.Context, k session.Key) error { _, err := s.TakeLocal(k); return err }})
	}
	return all
}

// removedEverywhere: a copy that the Store keeps near, of a session or of its absence, must not
// outlive the truth.
func removedEverywhere(t *tester) {
	k := key("host", 1)
	for _, remove := range t.removals() {
		t.see(k) // as absent
		t.update(k, "old", ttl)
		t.wantFound(k, "old", "stored, after it was looked for in vain")
		t.see(k)
		t.update(k, "new", ttl)
		t.wantFound(k, "new", "replaced, after it was looked up")
		t.update(key("host", 2), "other", ttl)
		t.see(key("host", 2))
		t.update(k, "newest", ttl)
		t.see(k)
		if err := remove.do(t.ctx, k); err != nil {
			t.Errorf("%s = %v; want nil", remove.name, err)
		}
		t.nowhere(k, "after "+remove.name+" of a session that had been replaced and looked up")
		if remove.name == "DeletePartial" {
			t.nowhere(key("host", 2), "after DeletePartial")
		} else {
			t.wantFound(key("host", 2), "other", "after "+remove.name+" of another")
		}
	}
}

// useProlongsNothing: only Update begins a life anew. Whatever else is done to a session until its
// time is over, it ends then.
func useProlongsNothing(t *tester) {
	k := key("host", 1)
	gone := key("host", 2)
	t.update(k, "one", short)
	t.update(gone, "two", short)
	t.update(key("other", 1), "three", ttl)
	stored := time.Now()
	indexed, _ := t.store.(session.Indexed)
	local, _ := t.store.(session.Local)
	for {
		asked := time.Now()
		_, err := t.store.Lookup(t.ctx, k)
		if asked.Sub(stored) > short+grain {
			if !errors.Is(err, session.ErrNotFound) {
				t.Errorf("Lookup() = %v at %v of a life of %v, looked up all along; want session.ErrNotFound", err, asked.Sub(stored), short)
			}
			break
		}
		_ = t.store.Update(t.ctx, k, []byte("refused"), -1)
		if indexed != nil {
			_, _ = indexed.SelectSession(t.ctx, "host", 0)
			_, _ = indexed.TakeNewest(t.ctx, "other", true)
			_, _ = indexed.Size(t.ctx)
			for range indexed.All(t.ctx) {
				continue
			}
		}
		if local != nil {
			_, _ = local.LookupLocal(k)
			local.Demote(k)
		}
		t.pause(short / 30)
	}
	t.nowhere(k, "looked up until its time was over")
	t.nowhere(gone, "not looked up at all until its time was over")
}

// lastProlongsNothing: the last one that TakeNewest keeps lives no longer for it.
func lastProlongsNothing(t *tester, s session.Indexed) {
	t.update(key("host", 1), "one", short)
	for stored := time.Now(); ; t.pause(short / 30) {
		asked := time.Now()
		e, err := s.TakeNewest(t.ctx, "host", true)
		if asked.Sub(stored) > short+grain {
			t.wantMiss(e.Session, err, fmt.Sprintf("TakeNewest(keepLast true) after a life of %v", short))
			return
		}
	}
}

// anyTTL stores sessions whose lives are no whole seconds, and tiny ones.
func anyTTL(t *tester) {
	t.pause(3 * grain) // virtual time begins with a whole second
	lives := []time.Duration{1, time.Microsecond, time.Millisecond, grain, 999 * time.Millisecond, time.Second, 1500 * time.Millisecond}
	began := make([]time.Time, len(lives))
	stored := make([]time.Time, len(lives))
	for i, life := range lives {
		began[i] = time.Now()
		t.update(key("host", i), "one", life)
		stored[i] = time.Now()
	}
	for left := len(lives); left > 0; t.pause(2 * grain) {
		left = 0
		for i, life := range lives {
			asked := time.Now()
			_, err := t.store.Lookup(t.ctx, key("host", i))
			answered := time.Now()
			switch {
			case err == nil && asked.Sub(stored[i]) > life+grain:
				t.Errorf("Lookup finds a session with a TTL of %v after %v", life, asked.Sub(stored[i]))
			case err != nil && answered.Sub(began[i]) < life-grain:
				t.Errorf("Lookup() = %v for a session with a TTL of %v within %v", err, life, answered.Sub(began[i]))
			case err == nil:
				left++
			}
		}
		if t.Failed() {
			return
		}
	}
	t.update(key("host", 0), "again", ttl)
	t.wantFound(key("host", 0), "again", "stored again after its time was over")
}

// buffersApart holds answers while other calls run, writes to them and beyond them.
func buffersApart(t *tester) {
	keys := []session.Key{key("host", 1), key("host", 2), key("host", 3)}
	mine := append(make([]byte, 0, 64), "mine"...)
	for i, k := range keys {
		if err := t.store.Update(t.ctx, k, append(mine[:4], byte('0'+i)), ttl); err != nil {
			t.Fatalf("Update() = %v", err)
		}
	}
	copy(mine[:64], "XXXXXXXXXXXXXXXX")
	var held [][]byte
	for i, k := range keys {
		t.wantFound(k, fmt.Sprint("mine", i), "stored from a buffer that the caller uses again")
		got, err := t.store.Lookup(t.ctx, k)
		if err != nil {
			t.Fatalf("Lookup() = %v", err)
		}
		held = append(held, got)
	}
	for i := range held { // to the end of its capacity, which is the caller's
		if string(held[i]) != fmt.Sprint("mine", i) {
			t.Errorf("what Lookup returned is %s after the next call; want its own buffer", brief(string(held[i])))
		}
		all := held[i][:cap(held[i])]
		for j := range all {
			all[j] = 'X'
		}
		for j, k := range keys {
			t.wantFound(k, fmt.Sprint("mine", j), "after the caller wrote to what Lookup returned, to the end of its capacity")
		}
	}
}

// contextsEnd: a session does not depend on the context of the call that stored it, nor the Store
// on that of any call.
func contextsEnd(t *tester) {
	k := key("host", 1)
	for _, c := range append([]call{t.calls()[2]}, t.calls()...) {
		ctx, cancel := context.WithCancel(t.ctx)
		if err := c.do(ctx, k); unexpected(err) {
			t.Errorf("%s = %v; want nil", c.name, err)
		}
		cancel()
		t.pause(grain)
		t.update(key("host", 2), "after", ttl)
		t.wantFound(key("host", 2), "after", "after the context of "+c.name+" ended")
		if c.name == "Update" {
			t.wantFound(k, "new", "after the context of its Update ended")
		}
	}
}

// closeLeaves opens Stores and closes them: a goroutine for each must not stay. A pool that they
// share may keep some. The runtime labels goroutines with who began them, so that none of another test that
// runs in parallel is blamed on the Store, nor makes up for one of its own. One that a timer's function
// began has no label, and is not seen.
func closeLeaves(t *tester) {
	const stores = 20
	label := fmt.Sprintf("%p", t)
	pprof.Do(t.ctx, pprof.Labels("sessiontest", label), func(ctx context.Context) {
		for range stores {
			s := t.open(t.TB)
			t.store, t.ctx = s, ctx
			t.update(key("host", 1), "one", ttl)
			t.wantFound(key("host", 1), "one", "in a new Store")
			if err := s.Close(); err != nil {
				t.Errorf("Close() = %v; want nil", err)
			}
		}
	})
	t.eventually(fmt.Sprintf("no goroutine for each of %d Stores that were closed", stores), func() bool {
		return labelled(label) < stores/2
	})
}

// labelled counts the goroutines whose labels contain a text.
func labelled(label string) (n int) {
	var profile bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 1) // a Buffer does not fail
	alike := 0                                         // goroutines with the labels that follow
	for line := range strings.Lines(profile.String()) {
		if count, _, ok := strings.Cut(line, " @ "); ok {
			alike, _ = strconv.Atoi(count)
		} else if strings.HasPrefix(line, "# labels: ") && strings.Contains(line, label) {
			n += alike
		}
	}
	return n
}
