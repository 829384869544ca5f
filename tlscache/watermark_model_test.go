package tlscache

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// check walks the marks: list, maps and counts agree, and nothing is out of order.
func (w *watermarks) check() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, names := 0, 0
	var older *mark
	for m := w.mu.oldest; m != nil; older, m = m, m.newer {
		switch known, _ := w.of.Load(m.watermark); {
		case known != m:
			return fmt.Errorf("mark %d of the list is not the one in the map", n)
		case m.older != older:
			return fmt.Errorf("mark %d of the list does not know the one before it", n)
		case older != nil && older.raised > m.raised:
			return fmt.Errorf("mark %d was raised before the one before it", n)
		}
		for _, name := range m.names {
			if known, ok := w.named.Load(name); ok && known == m {
				names++
			}
		}
		n++
	}
	switch {
	case w.mu.newest != older:
		return fmt.Errorf("the newest mark is not the last of the list")
	case n != w.mu.n || n != w.of.Size():
		return fmt.Errorf("the list has %d marks, its count is %d, the map has %d", n, w.mu.n, w.of.Size())
	case n > w.limit:
		return fmt.Errorf("%d marks; want at most %d", n, w.limit)
	case names != w.named.Size():
		return fmt.Errorf("%d names lead to marks of the list, of %d", names, w.named.Size())
	case n > 0 && !w.some.Load():
		return fmt.Errorf("there are %d marks, and none is looked at", n)
	}
	return nil
}

// A plainMark is all that was ever revoked of one thing, as a list.
type plainMark struct {
	of     watermark
	own    []clock.Stamp
	told   []int64
	raised int64
}

// plainMarks are the reference: in order of when they were last raised.
type plainMarks []*plainMark

func (p plainMarks) find(of watermark) int {
	return slices.IndexFunc(p, func(m *plainMark) bool { return m.of == of })
}

// raise notes a revocation, forgets what is older than any session and folds what is too much.
func (p *plainMarks) raise(of watermark, now int64, limit int, f func(*plainMark)) {
	at := &plainMark{of: of}
	if i := p.find(of); i >= 0 {
		at = (*p)[i]
		*p = slices.Delete(*p, i, i+1)
	}
	f(at)
	at.raised = now
	*p = append(*p, at)
	*p = slices.DeleteFunc(*p, func(m *plainMark) bool { return m.raised < now-int64(markLife) })
	for len(*p) > limit {
		i := 0
		if (*p)[0].of == everything {
			i = 1
		}
		oldest := (*p)[i]
		*p = slices.Delete(*p, i, i+1)
		// One place becomes free and that of everything may take it: then another one folds.
		at := &plainMark{of: everything}
		if i := p.find(everything); i >= 0 {
			at = (*p)[i]
			*p = slices.Delete(*p, i, i+1)
		}
		at.own, at.told = append(at.own, oldest.own...), append(at.told, oldest.told...)
		at.raised = now
		*p = append(*p, at)
	}
}

// covers compares with every revocation that there was.
func (p plainMarks) covers(r *sealing.Record) bool {
	for i := range p {
		of := p[i].of
		if of.kind == sealing.OfServerName && of.thing != r.Server || of.kind == sealing.OfPrincipal && of.thing != string(r.Principal[:]) {
			continue
		}
		for _, wall := range p[i].told {
			if r.Auth.Wall <= wall {
				return true
			}
		}
		for _, s := range p[i].own {
			if r.Auth.Order != 0 && r.Auth.Order <= s.Order || r.Auth.Order == 0 && r.Auth.Wall <= s.Wall {
				return true
			}
		}
	}
	return false
}

var modelThings = []watermark{
	everything, {sealing.OfServerName, "a"}, {sealing.OfServerName, "b"},
	{sealing.OfPrincipal, string(new(sealing.PrincipalID{1})[:])}, {sealing.OfPrincipal, string(new(sealing.PrincipalID{2})[:])}, {sealing.OfPrincipal, string(new(sealing.PrincipalID{3})[:])},
}

// Whatever is revoked, told and forgotten in whatever order, a session is covered exactly if a plain list of
// all revocations says so. Times are few, so that many are equal, and they come in any order, as they do
// from processes whose clocks differ.
func TestWatermarksAnswerAsAPlainListDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := new(clock.Fake)
		c.Stop()
		now := c.Read
		w := newWatermarks(c.Clock())
		w.limit = rapid.SampledFrom([]int{2, 3, 100}).Draw(rt, "bound")
		var ref plainMarks
		thing := rapid.SampledFrom(modelThings)
		// A time is a little before now, so that sessions of many ages meet marks of many ages.
		moment := func(rt *rapid.T) clock.Stamp {
			ago := rapid.Int64Range(0, 12).Draw(rt, "ago") * clock.Tick
			n := now()
			return clock.Stamp{Wall: n.Wall - ago, Order: n.Order + 100*clock.Tick - ago}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"revoke here": func(rt *rapid.T) {
				of, to := thing.Draw(rt, "of"), moment(rt)
				under := rapid.Byte().Draw(rt, "secret") % 3 // a name is of one thing
				w.raise(of, to, sealing.Name{byte(slices.Index(modelThings, of)), under})
				ref.raise(of, now().Order, w.limit, func(m *plainMark) { m.own = append(m.own, to) })
			},
			"told by a Store": func(rt *rapid.T) {
				of, at := thing.Draw(rt, "of"), moment(rt).Wall
				// What stands as high already changes nothing, not even its place in the order.
				if i := ref.find(of); i < 0 || !slices.ContainsFunc(ref[i].told, func(o int64) bool { return o >= at }) {
					ref.raise(of, now().Order, w.limit, func(m *plainMark) { m.told = append(m.told, at) })
				}
				w.adopt(of, told{at: at})
			},
			"time passes": func(rt *rapid.T) {
				c.Pass(time.Duration(rapid.SampledFrom([]int64{clock.Tick, 3 * clock.Tick, int64(time.Hour), int64(markLife / 2), int64(markLife)}).Draw(rt, "by")))
			},
			"": func(rt *rapid.T) {
				if err := w.check(); err != nil {
					rt.Fatal(err)
				}
				for _, sealed := range []bool{false, true} {
					auth := moment(rt)
					if sealed {
						auth.Order = 0
					}
					r := &sealing.Record{Auth: auth, Server: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "server"),
						Principal: sealing.PrincipalID{rapid.Byte().Draw(rt, "principal") % 5}}
					if got, want := w.covers(r), ref.covers(r); got != want {
						rt.Fatalf("covers(server %q, principal %d, auth %d before now, sealed %v) = %v; want %v",
							r.Server, r.Principal[0], now().Wall-auth.Wall, sealed, got, want)
					}
				}
				for _, of := range modelThings {
					var want int64
					if i := ref.find(of); i >= 0 {
						want = slices.Max(append(slices.Clone(ref[i].told), 0))
						var last clock.Stamp
						for _, s := range ref[i].own {
							if s.Order > last.Order {
								last = s
							}
						}
						want = max(want, last.Wall)
					}
					if got := w.height(of); got != want {
						rt.Fatalf("height(%q) = %d; want %d", of.kind, got, want)
					}
				}
			},
		})
	})
}
