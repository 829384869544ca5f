package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sessioncache/sessioncache/session"
)

// A plain is a Store as simple as can be: a list, newest first, without bounds.
type plain struct {
	sessions []plainSession
}

type plainSession struct {
	key       session.Key
	text      string
	ends      time.Time
	confirmed bool
}

// expire drops what is over.
func (p *plain) expire() {
	p.sessions = slices.DeleteFunc(p.sessions, func(s plainSession) bool { return !time.Now().Before(s.ends) })
}

// tick is how much longer than it lives a session may take a place.
const tick = time.Duration(1 << 24)

// expiredLately reports whether a session expired within the last tick.
func (p *plain) expiredLately() bool {
	return slices.ContainsFunc(p.sessions, func(s plainSession) bool {
		ago := time.Since(s.ends)
		return ago >= 0 && ago <= tick
	})
}

// find returns the place of a key, or -1.
func (p *plain) find(k session.Key) int {
	p.expire()
	return slices.IndexFunc(p.sessions, func(s plainSession) bool { return s.key == k })
}

// take removes and returns the session at a place.
func (p *plain) take(i int) plainSession {
	s := p.sessions[i]
	p.sessions = slices.Delete(p.sessions, i, i+1)
	return s
}

// of returns the sessions of a partial key.
func (p *plain) of(partial string) (all []plainSession) {
	p.expire()
	for _, s := range p.sessions {
		if s.key.Partial == partial {
			all = append(all, s)
		}
	}
	return all
}

// A run is Memory next to the list, driven by bytes.
type run struct {
	data   []byte
	m      *session.Memory
	plain  plain
	serial int
}

// number returns one below n, of the next byte.
func (r *run) number(n int) int {
	if len(r.data) == 0 {
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return int(b) % n
}

func (r *run) key() session.Key {
	return session.Key{Partial: []string{"", "a", "b"}[r.number(3)], ID: []string{"", "1", "2", "3", "4"}[r.number(5)]}
}

// Fatalf ends the run; play returns what it says.
func (r *run) Fatalf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }

// same compares one answer.
func (r *run) same(call string, i int, got []byte, err error) {
	switch {
	case i < 0 && !errors.Is(err, session.ErrNotFound):
		r.Fatalf("%s = %q, %v; want ErrNotFound", call, got, err)
	case i >= 0 && (err != nil || string(got) != r.plain.sessions[i].text):
		r.Fatalf("%s = %q, %v; want %q", call, got, err, r.plain.sessions[i].text)
	}
}

func (r *run) update() {
	k, local, confirmed := r.key(), r.number(2) == 0, r.number(2) == 0
	life := []time.Duration{-1, 0, 1, time.Millisecond, time.Second, time.Hour, 48 * time.Hour, time.Hour, time.Hour, time.Hour}[r.number(10)]
	r.serial++
	text := fmt.Sprint(r.serial)
	var err error
	if local {
		err = r.m.UpdateLocal(k, session.Item{Bytes: []byte(text), Confirmed: confirmed}, life)
	} else {
		confirmed, err = true, r.m.Update(context.Background(), k, []byte(text), life)
	}
	if life <= 0 {
		if !errors.Is(err, session.ErrBadTTL) {
			r.Fatalf("Update with TTL %v = %v; want ErrBadTTL", life, err)
		}
		return
	}
	if err != nil {
		r.Fatalf("Update() = %v", err)
	}
	if i := r.plain.find(k); i >= 0 {
		r.plain.take(i)
	}
	s := plainSession{k, text, time.Now().Add(min(life, session.DefaultMaxTTL)), confirmed}
	r.plain.sessions = slices.Insert(r.plain.sessions, 0, s)
}

func (r *run) byKey() {
	ctx, k := context.Background(), r.key()
	i := r.plain.find(k)
	switch r.number(6) {
	case 0, 1:
		s, err := r.m.Lookup(ctx, k)
		r.same("Lookup", i, s, err)
	case 2:
		item, err := r.m.LookupLocal(k)
		r.same("LookupLocal", i, item.Bytes, err)
		if i >= 0 && item.Confirmed != r.plain.sessions[i].confirmed {
			r.Fatalf("LookupLocal says confirmed %v", item.Confirmed)
		}
	case 3:
		s, err := r.m.Take(ctx, k)
		r.same("Take", i, s, err)
		if i >= 0 {
			r.plain.take(i)
		}
	case 4:
		if err := r.m.Delete(ctx, k); err != nil {
			r.Fatalf("Delete() = %v", err)
		}
		if i >= 0 {
			r.plain.take(i)
		}
	case 5:
		if got := r.m.Demote(k); got != (i >= 0) {
			r.Fatalf("Demote() = %v", got)
		}
	}
}

// wantEntries compares entries, and when they end.
func (r *run) wantEntries(call string, got []session.Entry, want []plainSession) {
	for i, e := range got {
		if len(got) != len(want) || e.Key != want[i].key || string(e.Session) != want[i].text || !e.Expires.Equal(want[i].ends) {
			r.Fatalf("%s = %q, place %d of %d; want %v", call, got, i, len(got), want)
		}
	}
	if len(got) != len(want) {
		r.Fatalf("%s = %q; want %v", call, got, want)
	}
}

func (r *run) byPartial() {
	ctx, partial := context.Background(), r.key().Partial
	group := r.plain.of(partial)
	switch r.number(3) {
	case 0:
		limit := r.number(6) - 1
		if limit > 0 && limit < len(group) {
			group = group[:limit]
		}
		got, err := r.m.SelectSession(ctx, partial, limit)
		if err != nil {
			r.Fatalf("SelectSession() = %v", err)
		}
		r.wantEntries("SelectSession", got, group)
	case 1:
		keepLast := r.number(2) == 0
		e, err := r.m.TakeNewest(ctx, partial, keepLast)
		if len(group) == 0 {
			if !errors.Is(err, session.ErrNotFound) {
				r.Fatalf("TakeNewest() = %v, %v; want ErrNotFound", e.Key, err)
			}
			return
		}
		r.wantEntries("TakeNewest", []session.Entry{e}, group[:1])
		if !keepLast || len(group) > 1 {
			r.plain.take(r.plain.find(e.Key))
		}
	case 2:
		n, err := r.m.DeletePartial(ctx, partial)
		if n != len(group) || err != nil {
			r.Fatalf("DeletePartial() = %d, %v; want %d", n, err, len(group))
		}
		for _, s := range group {
			r.plain.take(r.plain.find(s.key))
		}
	}
}

// check compares everything, when the timers have run.
func (r *run) check() {
	for lately := true; lately; lately = r.plain.expiredLately() { // another may do so while we wait
		time.Sleep(tick)
		synctest.Wait()
	}
	r.plain.expire()
	var all []session.Entry
	for e, err := range r.m.All(context.Background()) {
		if err != nil {
			r.Fatalf("All yields %v", err)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b session.Entry) int { return r.plain.find(a.Key) - r.plain.find(b.Key) })
	r.wantEntries("All", all, r.plain.sessions)
	confirmed := 0
	for _, s := range r.plain.sessions {
		if s.confirmed {
			confirmed++
		}
	}
	n, err := r.m.Size(context.Background())
	if st := r.m.Stats(); n != len(all) || err != nil || st.Confirmed != confirmed || st.OnProbation != n-confirmed {
		r.Fatalf("Size() = %d, %v, Stats() say %d confirmed, %d not; want %d, of which %d", n, err, st.Confirmed, st.OnProbation, len(all), confirmed)
	}
}

// play makes random calls and returns the first answer that differs, as an error.
func (r *run) play() (fault error) {
	defer func() {
		if p := recover(); p != nil {
			fault = p.(error) // what panics otherwise is no error of ours, and panics again
		}
	}()
	for len(r.data) > 0 {
		switch step := r.number(10); {
		case step < 4:
			r.update()
		case step < 7:
			r.byKey()
		case step < 9:
			r.byPartial()
		case r.number(3) == 0: // time passes rarely, or there would be few sessions
			time.Sleep([]time.Duration{1, time.Millisecond - 1, time.Second, time.Hour, 24 * time.Hour}[r.number(5)])
		}
	}
	r.check()
	return nil
}

// Random calls answer as a plain list does, to the nanosecond.
func TestMemoryAnswersAsAListDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 200, 2000).Draw(rt, "data")
		var fault error
		synctest.Test(t, func(t *testing.T) {
			m := open(t, session.MemoryConfig{})
			fault = (&run{data: data, m: m}).play()
		})
		if fault != nil {
			rt.Fatal(fault)
		}
	})
}
