package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sessioncache/sessioncache/session"
)

// A stoppingContext stops a call where the Store looks at its context for the n-th time, for as
// long as stop takes.
type stoppingContext struct {
	context.Context
	mu    sync.Mutex
	looks int
	n     int
	stop  func()
	over  bool // the call has returned: what looks now is not it
}

func (c *stoppingContext) look() {
	c.mu.Lock()
	c.looks++
	now := c.looks == c.n && !c.over
	c.mu.Unlock()
	if now {
		c.stop()
	}
}

func (c *stoppingContext) end() (looks int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	return c.looks
}

func (c *stoppingContext) Err() error            { c.look(); return c.Context.Err() }
func (c *stoppingContext) Done() <-chan struct{} { c.look(); return c.Context.Done() }

// An op is a call, and what it does to a model of one partial key's sessions, newest first.
type op struct {
	name  string
	do    func(ctx context.Context, s session.Store) string
	model func(m *model) string
}

type model []session.Entry

func (m *model) find(id string) int {
	return slices.IndexFunc(*m, func(e session.Entry) bool { return e.Key.ID == id })
}

// remove removes the i-th session and returns it; -1: none.
func (m *model) remove(i int) string {
	if i < 0 || i >= len(*m) {
		return "none"
	}
	s := string((*m)[i].Session)
	*m = slices.Delete(slices.Clone(*m), i, i+1)
	return s
}

func (m *model) update(k session.Key, s string) {
	m.remove(m.find(k.ID))
	*m = slices.Insert(slices.Clone(*m), 0, session.Entry{Key: k, Session: []byte(s)})
}

// answer is what a call returned, as text.
func answer(s []byte, err error) string {
	switch {
	case errors.Is(err, session.ErrNotFound):
		return "none"
	case err != nil:
		return err.Error()
	}
	return string(s)
}

func lookupOp(k session.Key) op {
	return op{"Lookup " + k.ID,
		func(ctx context.Context, s session.Store) string { return answer(s.Lookup(ctx, k)) },
		func(m *model) string { c := slices.Clone(*m); return c.remove(c.find(k.ID)) }}
}

func takeOp(k session.Key) op {
	return op{"Take " + k.ID,
		func(ctx context.Context, s session.Store) string { return answer(s.Take(ctx, k)) },
		func(m *model) string { return m.remove(m.find(k.ID)) }}
}

func deleteOp(k session.Key) op {
	return op{"Delete " + k.ID,
		func(ctx context.Context, s session.Store) string { return answer(nil, s.Delete(ctx, k)) },
		func(m *model) string { m.remove(m.find(k.ID)); return "" }}
}

func updateOp(k session.Key, to string) op {
	return op{"Update " + k.ID,
		func(ctx context.Context, s session.Store) string {
			return answer(nil, s.Update(ctx, k, []byte(to), ttl))
		},
		func(m *model) string { m.update(k, to); return "" }}
}

func takeNewestOp(keepLast bool) op {
	return op{fmt.Sprintf("TakeNewest keepLast %v", keepLast),
		func(ctx context.Context, s session.Store) string {
			e, err := s.(session.Indexed).TakeNewest(ctx, "host", keepLast)
			return answer(e.Session, err)
		},
		func(m *model) string {
			if keepLast && len(*m) == 1 {
				return string((*m)[0].Session)
			}
			return m.remove(0)
		}}
}

// deletePartialOp does not say how many there were: a batch may count what came meanwhile.
func deletePartialOp() op {
	return op{"DeletePartial",
		func(ctx context.Context, s session.Store) string {
			_, err := s.(session.Indexed).DeletePartial(ctx, "host")
			return answer(nil, err)
		},
		func(m *model) string { *m = nil; return "" }}
}

// interleaved stops each call wherever the Store looks at its context until another has run.
func interleaved(t *tester) {
	one, two := key("host", 1), key("host", 2)
	ops := []op{lookupOp(one), takeOp(one), deleteOp(one), updateOp(one, "new one"), updateOp(two, "new two"), takeOp(two)}
	for _, first := range ops {
		for _, second := range ops {
			t.interleave(first, second, one, two)
		}
	}
}

// indexInterleaved does so with the calls that know the partial key. DeletePartial is not one step,
// so what TakeNewest keeps as the last may go.
func indexInterleaved(t *tester, _ session.Indexed) {
	one, two := key("host", 1), key("host", 2)
	plain := []op{lookupOp(two), takeOp(two), deleteOp(two), updateOp(one, "new one"), updateOp(two, "new two")}
	newest := []op{takeNewestOp(false), takeNewestOp(true)}
	for _, first := range newest {
		for _, second := range slices.Concat(newest, plain, []op{deletePartialOp()}) {
			t.interleave(first, second, one, two)
			t.interleave(first, second, two)
		}
	}
	for _, second := range plain {
		t.interleave(deletePartialOp(), second, one, two)
		for _, first := range newest {
			t.interleave(second, first, one, two)
		}
	}
}

// interleave runs the second call within the first, on sessions of the given keys, once for each
// look of the first at its context.
func (t *tester) interleave(first, second op, keys ...session.Key) {
	const most = 20 // looks: a driver may have many
	for n := 1; n <= most && !t.Failed(); n++ {
		var start model
		for _, k := range []session.Key{key("host", 1), key("host", 2)} {
			if err := t.store.Delete(t.ctx, k); err != nil {
				t.Fatalf("Delete(%s) = %v", show(k), err)
			}
		}
		for _, k := range keys {
			t.update(k, "old "+k.ID, ttl)
			start.update(k, "old "+k.ID)
		}
		ctx := &stoppingContext{Context: t.ctx, n: n}
		over, within := make(chan struct{}), false
		var gotSecond string
		ctx.stop = func() {
			within = true
			go func() {
				defer close(over)
				gotSecond = second.do(t.ctx, t.store)
			}()
			t.giveWay(over)
		}
		gotFirst := first.do(ctx, t.store)
		if looks := ctx.end(); looks < n || !within {
			return
		}
		<-over
		t.explain(start, first, second, gotFirst, gotSecond)
	}
}

// explain checks that the calls did what they do in one order or the other.
func (t *tester) explain(start model, first, second op, gotFirst, gotSecond string) {
	t.Helper()
	got := strings.Join([]string{gotFirst, gotSecond, t.present(1), t.present(2)}, ", ")
	state := func(m model, id int) string { return m.remove(m.find(key("host", id).ID)) }
	a := slices.Clone(start)
	a1 := first.model(&a)
	a2 := second.model(&a)
	b := slices.Clone(start)
	b2 := second.model(&b)
	b1 := first.model(&b)
	ab := strings.Join([]string{a1, a2, state(a, 1), state(a, 2)}, ", ")
	ba := strings.Join([]string{b1, b2, state(b, 1), state(b, 2)}, ", ")
	if got != ab && got != ba {
		t.Errorf("%s, and within it %s: the answers and what is left are %q; want those of one order or the other, %q or %q",
			first.name, second.name, got, ab, ba)
	}
}

// present returns what Lookup finds.
func (t *tester) present(id int) string { return answer(t.store.Lookup(t.ctx, key("host", id))) }
