package tickets

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// A modelTicket is a ticket, and what happened to it.
type modelTicket struct {
	label                   string
	old, mirror             bool // of TLS 1.2; a copy for a name
	handed, exposed, struck bool
	gone                    bool // for good: what is given back now is not wanted
	until                   int64
	age                     int // the order of put
}

// A plainPool says what a MemoryPool does that is not full: lists of tickets, the newest first, as the interface
// pool has it.
type plainPool struct {
	perKey    int
	singleUse bool
	now       int64
	puts      int
	keys      map[string][]*modelTicket
}

func (p *plainPool) remove(key string, goes func(*modelTicket) bool) {
	p.keys[key] = slices.DeleteFunc(p.keys[key], func(t *modelTicket) bool {
		t.gone = t.gone || goes(t)
		return t.gone
	})
}

// replaces: another kind of version is of another server; a mirror and what was handed out are worth less than a
// fresh one, but a mirror replaces mirrors alone.
func (t *modelTicket) replaces(elder *modelTicket) bool {
	return t.old || elder.old || elder.mirror || !t.mirror && elder.handed
}

// store makes a ticket the newest, in the place of another or beyond PerKey in that of the oldest.
func (p *plainPool) store(key string, t *modelTicket) {
	p.keys[key] = slices.Insert(p.keys[key], 0, t)
	if n := len(p.keys[key]); n > p.perKey {
		p.keys[key] = p.keys[key][:n-1]
	}
}

func (p *plainPool) put(key string, t *modelTicket) {
	p.puts++
	t.age = p.puts
	elders := p.keys[key]
	for i := len(elders) - 1; i >= 0; i-- {
		if t.replaces(elders[i]) {
			elder := elders[i]
			p.remove(key, func(o *modelTicket) bool { return o == elder })
			break
		}
	}
	if t.until <= p.now {
		return // it tells nothing of the others
	}
	p.store(key, t)
	p.remove(key, func(o *modelTicket) bool { return o != t && t.replaces(o) })
	for _, elder := range p.keys[key] {
		if elder != t {
			elder.struck = false
		}
	}
}

func (p *plainPool) take(key string) *modelTicket {
	for len(p.keys[key]) > 0 && p.keys[key][0].until <= p.now {
		p.remove(key, func(o *modelTicket) bool { return o == p.keys[key][0] })
	}
	all := p.keys[key]
	if len(all) == 0 {
		return nil
	}
	t := all[0]
	t.handed = true
	if p.singleUse || len(all) > 1 {
		p.keys[key] = all[1:]
	}
	if rest := p.keys[key]; len(rest) > 0 {
		rest[0].exposed = true
	}
	return t
}

func (p *plainPool) peek(key string) *modelTicket {
	p.remove(key, func(t *modelTicket) bool { return t.until <= p.now && !p.liveBefore(key, t) })
	if len(p.keys[key]) == 0 {
		return nil
	}
	p.keys[key][0].handed = true
	return p.keys[key][0]
}

// liveBefore reports whether a newer ticket than t is not over, so that t is not looked at.
func (p *plainPool) liveBefore(key string, t *modelTicket) bool {
	for _, o := range p.keys[key] {
		if o == t {
			return false
		}
		if o.until > p.now {
			return true
		}
	}
	return false
}

func (p *plainPool) giveBack(key string, t *modelTicket) {
	if t.gone {
		return
	}
	p.remove(key, func(o *modelTicket) bool { return o == t })
	t.gone = true // the one that was taken; a copy is back
	if t.until > p.now {
		p.store(key, &modelTicket{label: t.label, old: t.old, mirror: t.mirror, handed: t.handed, until: t.until, age: t.age})
	}
}

func (p *plainPool) strike(key string) {
	again := slices.ContainsFunc(p.keys[key], func(t *modelTicket) bool { return !t.handed && t.struck })
	p.remove(key, func(t *modelTicket) bool { return t.handed || again })
	for _, t := range p.keys[key] {
		t.struck = true
	}
}

func (p *plainPool) drop(key string) {
	older := false
	p.remove(key, func(t *modelTicket) bool {
		older = older || t.exposed
		return older || t.handed
	})
}

func (p *plainPool) held() (n int) {
	for _, tickets := range p.keys {
		n += len(tickets)
	}
	return n
}

// A takenTicket is one that a handshake has in its hands.
type takenTicket struct {
	key   string
	real  Loan
	model *modelTicket
}

// seldom leaves out most of what would leave nothing to look at.
func seldom(rt *rapid.T) {
	if rapid.IntRange(0, 9).Draw(rt, "seldom") > 0 {
		rt.Skip()
	}
}

// Whatever is put, taken, given back, struck and flushed in whatever order and at whatever times, a pool hands out
// what plain lists say, and holds as many.
func TestPoolsHandOutWhatPlainListsDo(t *testing.T) {
	const name, other = "a", "b"
	scope := strings.Repeat("s", ScopeSize)
	keys := []string{Key(scope, name), EndpointKey(Key(scope, name), "address"), Key(scope, other)}
	for n := range 8 {
		cfg := Config{MaxSessions: 1 << 10, PerKey: 1 + n/2, SingleUse: n%2 == 1}
		t.Run(fmt.Sprintf("PerKey=%d,SingleUse=%v", cfg.PerKey, cfg.SingleUse), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				clocks := new(clock.Fake)
				clocks.Stop()
				p, err := NewMemoryPool(cfg, clocks.Clock())
				if err != nil {
					rt.Fatal(err)
				}
				defer p.Close()
				ref := &plainPool{perKey: cfg.PerKey, singleUse: cfg.SingleUse, keys: map[string][]*modelTicket{}, now: clocks.Read().Order}
				var taken []takenTicket
				key := rapid.SampledFrom(append(keys, keys[0], keys[0]))
				got := func(key string, real Loan, model *modelTicket) {
					if (real != nil) != (model != nil) || real != nil && string(real.Lent().Label) != model.label {
						rt.Fatalf("the pool hands out %v; want %v", real, model)
					}
					if real != nil {
						taken = append(taken, takenTicket{key, real, model})
					}
				}
				flushed := func(is func(key string) bool) {
					for _, k := range keys {
						if is(k) {
							ref.remove(k, func(*modelTicket) bool { return true })
						}
					}
					taken = nil // what is in hands is not wanted any more: TestAFlushedTicketIsNotGivenBack
				}
				rt.Repeat(map[string]func(*rapid.T){
					"put": func(rt *rapid.T) {
						k, life := key.Draw(rt, "key"), time.Duration(rapid.IntRange(0, 3).Draw(rt, "hours"))*time.Hour
						m := &modelTicket{label: fmt.Sprint(ref.puts), old: rapid.IntRange(0, 5).Draw(rt, "version") == 0, mirror: rapid.IntRange(0, 3).Draw(rt, "mirror") == 0}
						f := tlsstate.Facts{Version: 0x304}
						if m.old {
							f.Version = 0x303
						}
						until := clocks.Read().Plus(life)
						m.until = until.Order
						put := p.Put
						if m.mirror {
							put = p.Mirror
						}
						put(k, Ticket{Label: []byte(m.label), Facts: f, Until: until, End: until})
						ref.put(k, m)
					},
					"take": func(rt *rapid.T) {
						k := key.Draw(rt, "key")
						real, _ := p.Take(k, clocks.Read())
						got(k, real, ref.take(k))
					},
					"peek": func(rt *rapid.T) {
						k := key.Draw(rt, "key")
						real, _ := p.Peek(k, clocks.Read())
						got(k, real, ref.peek(k))
					},
					"give back": func(rt *rapid.T) {
						if len(taken) == 0 {
							rt.Skip()
						}
						i := rapid.IntRange(0, len(taken)-1).Draw(rt, "ticket")
						p.GiveBack(taken[i].key, taken[i].real, func() bool { return true })
						ref.giveBack(taken[i].key, taken[i].model)
						taken = slices.Delete(taken, i, i+1)
					},
					"strike": func(rt *rapid.T) { k := key.Draw(rt, "key"); p.Strike(k); ref.strike(k) },
					"drop":   func(rt *rapid.T) { k := key.Draw(rt, "key"); p.Drop(k); ref.drop(k) },
					"flush": func(rt *rapid.T) {
						seldom(rt)
						n := rapid.SampledFrom([]string{name, other}).Draw(rt, "name")
						p.Flush(n)
						flushed(func(key string) bool { return isKeyOf(key, n) })
					},
					"flush all": func(rt *rapid.T) { seldom(rt); p.FlushAll(); flushed(func(string) bool { return true }) },
					"time passes": func(rt *rapid.T) {
						clocks.Pass(time.Duration(rapid.IntRange(20, 90).Draw(rt, "minutes")) * time.Minute)
						ref.now = clocks.Read().Order
					},
					"": func(rt *rapid.T) {
						if n := p.Held().Tickets; n != ref.held() {
							rt.Fatalf("%d tickets held; want %d", n, ref.held())
						}
					},
				})
			})
		})
	}
}
