package sessiontest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A faulty Store is a Memory of which some methods are replaced.
type faulty struct {
	*session.Memory
	mapped func(session.Key) session.Key // nil: as they are
	plain  bool                          // no more than a session.Store

	lookup func(context.Context, session.Key) ([]byte, error)
	take   func(context.Context, session.Key) ([]byte, error)
	update func(context.Context, session.Key, []byte, time.Duration) error
	remove func(context.Context, session.Key) error
	choose func(context.Context, string, int) ([]session.Entry, error)
	newest func(context.Context, string, bool) (session.Entry, error)
	revoke func(context.Context, string) (int, error)
	all    func(context.Context) iter.Seq2[session.Entry, error]
	size   func(context.Context) (int, error)
	end    func() error

	mu   sync.Mutex
	near map[session.Key][]byte
}

func (f *faulty) key(k session.Key) session.Key {
	if f.mapped != nil {
		return f.mapped(k)
	}
	return k
}

func (f *faulty) Lookup(ctx context.Context, k session.Key) ([]byte, error) {
	if f.lookup != nil {
		return f.lookup(ctx, k)
	}
	return f.Memory.Lookup(ctx, f.key(k))
}

func (f *faulty) Take(ctx context.Context, k session.Key) ([]byte, error) {
	if f.take != nil {
		return f.take(ctx, k)
	}
	return f.Memory.Take(ctx, f.key(k))
}

func (f *faulty) Update(ctx context.Context, k session.Key, s []byte, life time.Duration) error {
	if f.update != nil {
		return f.update(ctx, k, s, life)
	}
	return f.Memory.Update(ctx, f.key(k), s, life)
}

func (f *faulty) Delete(ctx context.Context, k session.Key) error {
	if f.remove != nil {
		return f.remove(ctx, k)
	}
	return f.Memory.Delete(ctx, f.key(k))
}

func (f *faulty) Close() error {
	if f.end != nil {
		return f.end()
	}
	return f.Memory.Close()
}

func (f *faulty) SelectSession(ctx context.Context, p string, limit int) ([]session.Entry, error) {
	if f.choose != nil {
		return f.choose(ctx, p, limit)
	}
	return f.Memory.SelectSession(ctx, f.key(session.Key{Partial: p}).Partial, limit)
}

func (f *faulty) TakeNewest(ctx context.Context, p string, keepLast bool) (session.Entry, error) {
	if f.newest != nil {
		return f.newest(ctx, p, keepLast)
	}
	return f.Memory.TakeNewest(ctx, f.key(session.Key{Partial: p}).Partial, keepLast)
}

func (f *faulty) DeletePartial(ctx context.Context, p string) (int, error) {
	if f.revoke != nil {
		return f.revoke(ctx, p)
	}
	return f.Memory.DeletePartial(ctx, f.key(session.Key{Partial: p}).Partial)
}

func (f *faulty) All(ctx context.Context) iter.Seq2[session.Entry, error] {
	if f.all != nil {
		return f.all(ctx)
	}
	return f.Memory.All(ctx)
}

func (f *faulty) Size(ctx context.Context) (int, error) {
	if f.size != nil {
		return f.size(ctx)
	}
	return f.Memory.Size(ctx)
}

func openFaulty(fault func(*faulty)) func(testing.TB) session.Store {
	return func(t testing.TB) session.Store {
		m, err := session.NewMemory(session.MemoryConfig{MaxSessionSize: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		f := &faulty{Memory: m, near: map[session.Key][]byte{}}
		fault(f)
		if f.plain {
			return struct{ session.Store }{f}
		}
		return f
	}
}

// maps is the fault of a Store that makes other keys of its keys.
func maps(to func(session.Key) session.Key) func(*faulty) {
	return func(f *faulty) { f.mapped, f.plain = to, true }
}

func joinedBy(separator string) func(*faulty) {
	return maps(func(k session.Key) session.Key { return session.Key{ID: k.Partial + separator + k.ID} })
}

// onText is the fault of a Store that does something to both parts of its keys.
func onText(change func(string) string) func(*faulty) {
	return func(f *faulty) {
		f.mapped = func(k session.Key) session.Key {
			return session.Key{Partial: change(k.Partial), ID: change(k.ID)}
		}
	}
}

// lives is the fault of a Store that makes other TTLs of its TTLs.
func lives(change func(time.Duration) time.Duration) func(*faulty) {
	return func(f *faulty) {
		f.update = func(ctx context.Context, k session.Key, s []byte, life time.Duration) error {
			if life > 0 {
				life = change(life)
			}
			return f.Memory.Update(ctx, k, s, life)
		}
	}
}

func ceil(life time.Duration) time.Duration {
	return min(life, ttl).Truncate(time.Second) + time.Second
}

// keepsNear keeps what Lookup returned, and forgets it where told says that it is told of.
func keepsNear(told ...string) func(*faulty) {
	return func(f *faulty) {
		forget := func(call string, match func(session.Key) bool) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for k := range f.near {
				if slices.Contains(told, call) && match(k) {
					delete(f.near, k)
				}
			}
		}
		f.lookup = func(ctx context.Context, k session.Key) ([]byte, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if s, ok := f.near[k]; ok && ctx.Err() == nil {
				return bytes.Clone(s), nil
			}
			s, err := f.Memory.Lookup(ctx, k)
			if err == nil {
				f.near[k] = bytes.Clone(s)
			}
			return s, err
		}
		f.take = func(ctx context.Context, k session.Key) ([]byte, error) {
			defer forget("Take", func(o session.Key) bool { return o == k })
			return f.Memory.Take(ctx, k)
		}
		f.remove = func(ctx context.Context, k session.Key) error {
			defer forget("Delete", func(o session.Key) bool { return o == k })
			return f.Memory.Delete(ctx, k)
		}
		f.update = func(ctx context.Context, k session.Key, s []byte, life time.Duration) error {
			defer forget("Update", func(o session.Key) bool { return o == k })
			return f.Memory.Update(ctx, k, s, life)
		}
		f.newest = func(ctx context.Context, p string, keepLast bool) (session.Entry, error) {
			e, err := f.Memory.TakeNewest(ctx, p, keepLast)
			forget("TakeNewest", func(o session.Key) bool { return o == e.Key })
			return e, err
		}
		f.revoke = func(ctx context.Context, p string) (int, error) {
			defer forget("DeletePartial", func(o session.Key) bool { return o.Partial == p })
			return f.Memory.DeletePartial(ctx, p)
		}
		f.end = func() error {
			f.mu.Lock()
			defer f.mu.Unlock()
			clear(f.near)
			return f.Memory.Close()
		}
	}
}

// slides begins a life anew in a Lookup.
func slides(f *faulty) {
	f.lookup = func(ctx context.Context, k session.Key) ([]byte, error) {
		s, err := f.Memory.Lookup(ctx, k)
		if err == nil {
			err = f.Memory.Update(ctx, k, s, short)
		}
		return s, err
	}
}

// misses returns another error, or more, where there is no session.
func misses(s []byte, with func(error) error) func(*faulty) {
	return func(f *faulty) {
		f.lookup = func(ctx context.Context, k session.Key) ([]byte, error) {
			got, err := f.Memory.Lookup(ctx, k)
			if errors.Is(err, session.ErrNotFound) {
				return s, with(err)
			}
			return got, err
		}
	}
}

// chooses changes what SelectSession returns.
func chooses(change func([]session.Entry) []session.Entry) func(*faulty) {
	return func(f *faulty) {
		f.choose = func(ctx context.Context, p string, limit int) ([]session.Entry, error) {
			all, err := f.Memory.SelectSession(ctx, p, limit)
			return change(all), err
		}
	}
}

// revokes changes how many DeletePartial says there were.
func revokes(change func(int) int) func(*faulty) {
	return func(f *faulty) {
		f.revoke = func(ctx context.Context, p string) (int, error) {
			n, err := f.Memory.DeletePartial(ctx, p)
			return change(n), err
		}
	}
}

// sizes changes what Size returns.
func sizes(change func(int) int) func(*faulty) {
	return func(f *faulty) {
		f.size = func(ctx context.Context) (int, error) {
			n, err := f.Memory.Size(ctx)
			return change(n), err
		}
	}
}

// stores changes what Update stores.
func stores(change func([]byte) []byte) func(*faulty) {
	return func(f *faulty) {
		f.update = func(ctx context.Context, k session.Key, s []byte, life time.Duration) error {
			return f.Memory.Update(ctx, k, change(s), life)
		}
	}
}

// moreFaults are of the kind that Stores on databases, files, codecs and near caches have.
var moreFaults = map[string]func(*faulty){
	"joins by a slash":     joinedBy("/"),
	"joins by a bar":       joinedBy("|"),
	"joins by a hyphen":    joinedBy("-"),
	"joins by a dot":       joinedBy("."),
	"joins by a byte 0x1f": joinedBy("\x1f"),
	"joins by an arrow":    joinedBy("->"),
	"joins by nothing":     joinedBy(""),
	"joins the id first":   maps(func(k session.Key) session.Key { return session.Key{ID: k.ID + ":" + k.Partial} }),
	"a length that nothing ends": maps(func(k session.Key) session.Key {
		return session.Key{ID: fmt.Sprint(len(k.Partial), k.Partial) + k.ID}
	}),
	"a length of one byte": maps(func(k session.Key) session.Key {
		return session.Key{ID: string([]byte{byte(len(k.Partial))}) + k.Partial + k.ID}
	}),
	"a length of two bytes": maps(func(k session.Key) session.Key {
		n := len(k.Partial)
		return session.Key{ID: string([]byte{byte(n >> 8), byte(n)}) + k.Partial + k.ID}
	}),
	"32 bits of FNV": maps(func(k session.Key) session.Key {
		h := fnv.New32a()
		io.WriteString(h, k.Partial+"\x00"+k.ID)
		return session.Key{Partial: k.Partial, ID: fmt.Sprint(h.Sum32())}
	}),
	"CRC-32": maps(func(k session.Key) session.Key {
		return session.Key{Partial: k.Partial, ID: fmt.Sprint(crc32.ChecksumIEEE([]byte(k.ID)))}
	}),
	"hexadecimal without zeros": onText(func(s string) string {
		var all strings.Builder
		for _, b := range []byte(s) {
			fmt.Fprintf(&all, "%x", b)
		}
		return all.String()
	}),
	"cuts at 255 bytes":        onText(func(s string) string { return s[:min(len(s), 255)] }),
	"keeps the last 255 bytes": onText(func(s string) string { return s[max(0, len(s)-255):] }),
	"folds case":               onText(strings.ToLower),
	"trims space":              onText(strings.TrimSpace),
	"mends UTF-8":              onText(func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }),
	"drops a final dot":        onText(func(s string) string { return strings.TrimSuffix(s, ".") }),
	"cuts partial keys at NUL": maps(func(k session.Key) session.Key {
		k.Partial, _, _ = strings.Cut(k.Partial, "\x00")
		return k
	}),
	"SelectSession takes patterns": func(f *faulty) {
		f.choose = func(ctx context.Context, p string, limit int) ([]session.Entry, error) {
			if !strings.HasSuffix(p, "*") || len(p) < 2 {
				return f.Memory.SelectSession(ctx, p, limit)
			}
			return f.Memory.SelectSession(ctx, "ab", limit)
		}
	},
	"DeletePartial matches prefixes": func(f *faulty) {
		f.revoke = func(ctx context.Context, p string) (int, error) {
			more := 0
			for e := range f.Memory.All(ctx) {
				if strings.HasPrefix(e.Key.Partial, p) && e.Key.Partial != p {
					more++
					_ = f.Memory.Delete(ctx, e.Key)
				}
			}
			n, err := f.Memory.DeletePartial(ctx, p)
			return n + more, err
		}
	},

	"near, not told of Take":          keepsNear("Delete", "Update", "TakeNewest", "DeletePartial"),
	"near, not told of Delete":        keepsNear("Take", "Update", "TakeNewest", "DeletePartial"),
	"near, not told of Update":        keepsNear("Take", "Delete", "TakeNewest", "DeletePartial"),
	"near, not told of TakeNewest":    keepsNear("Take", "Delete", "Update", "DeletePartial"),
	"near, not told of DeletePartial": keepsNear("Take", "Delete", "Update", "TakeNewest"),

	"slides":                 slides,
	"whole seconds, up":      lives(ceil),
	"whole seconds, down":    lives(func(d time.Duration) time.Duration { return max(d.Truncate(time.Second), 1) }),
	"at least a second":      lives(func(d time.Duration) time.Duration { return max(d, time.Second) }),
	"a TTL of 1 ns is none":  lives(func(d time.Duration) time.Duration { return d.Truncate(time.Millisecond) }),
	"whole seconds beyond 1": lives(func(d time.Duration) time.Duration { return max(min(d, time.Second), d.Truncate(time.Second)) }),

	"misses with a session":        misses([]byte("x"), func(err error) error { return err }),
	"misses with its own error":    misses(nil, func(error) error { return io.EOF }),
	"misses with the text alone":   misses(nil, func(err error) error { return fmt.Errorf("%v", err) }),
	"misses as closed and missing": misses(nil, func(err error) error { return errors.Join(err, session.ErrClosed) }),

	"DeletePartial says 42":         revokes(func(int) int { return 42 }),
	"DeletePartial says one more":   revokes(func(n int) int { return n + 1 }),
	"DeletePartial says 0":          revokes(func(int) int { return 0 }),
	"Size is one more":              sizes(func(n int) int { return n + 1 }),
	"Size is never 0":               sizes(func(n int) int { return max(n, 1) }),
	"SelectSession shows 100":       chooses(func(e []session.Entry) []session.Entry { return e[:min(len(e), 100)] }),
	"SelectSession misses the last": chooses(func(e []session.Entry) []session.Entry { return e[:max(len(e)-1, min(len(e), 1))] }),
	"sessions end at NUL":           stores(func(s []byte) []byte { b, _, _ := bytes.Cut(s, []byte{0}); return b }),
	"sessions are trimmed":          stores(bytes.TrimSpace),
	"sessions are text":             stores(func(s []byte) []byte { return bytes.ToValidUTF8(s, []byte("?")) }),
	"nil sessions are dropped": func(f *faulty) {
		f.lookup = func(ctx context.Context, k session.Key) ([]byte, error) {
			s, err := f.Memory.Lookup(ctx, k)
			if err == nil && len(s) == 0 {
				err = session.ErrNotFound
			}
			return s, err
		}
	},
	"allocates the limit": func(f *faulty) {
		f.choose = func(ctx context.Context, p string, limit int) ([]session.Entry, error) {
			if limit > 1<<30 {
				return nil, errors.New("out of memory")
			}
			return f.Memory.SelectSession(ctx, p, limit)
		}
	},
	"one buffer for all": func(f *faulty) {
		var buffer []byte
		f.lookup = func(ctx context.Context, k session.Key) ([]byte, error) {
			s, err := f.Memory.Lookup(ctx, k)
			f.mu.Lock()
			defer f.mu.Unlock()
			if err != nil || len(s) > 8 || !strings.HasPrefix(string(s), "mine") {
				return s, err
			}
			buffer = append(buffer[:0], s...)
			return buffer, nil
		}
	},
	"sessions end with their context": func(f *faulty) {
		f.update = func(ctx context.Context, k session.Key, s []byte, life time.Duration) error {
			err := f.Memory.Update(ctx, k, s, life)
			if err == nil {
				context.AfterFunc(ctx, func() { _ = f.Memory.Delete(context.Background(), k) })
			}
			return err
		}
	},
	"All ends with half": func(f *faulty) {
		f.all = func(ctx context.Context) iter.Seq2[session.Entry, error] {
			return func(yield func(session.Entry, error) bool) {
				n := f.Memory.Stats().Sessions
				for e, err := range f.Memory.All(ctx) {
					if n--; n < 100 && err == nil && n > 0 {
						continue
					}
					if !yield(e, err) {
						return
					}
				}
			}
		}
	},
	"All ignores the end of its loop": func(f *faulty) {
		f.all = func(ctx context.Context) iter.Seq2[session.Entry, error] {
			return func(yield func(session.Entry, error) bool) {
				over := false
				for e, err := range f.Memory.All(ctx) {
					func() {
						if over {
							defer func() { _ = recover() }() // as a range loop panics
						}
						over = !yield(e, err) || over
					}()
				}
			}
		}
	},
	"All yields on after an error": func(f *faulty) {
		f.all = func(ctx context.Context) iter.Seq2[session.Entry, error] {
			return func(yield func(session.Entry, error) bool) {
				for e, err := range f.Memory.All(ctx) {
					if !yield(e, err) || err != nil && !yield(e, nil) {
						return
					}
				}
			}
		}
	},
	"All holds a lock": func(f *faulty) {
		var mu sync.Mutex
		f.remove = func(ctx context.Context, k session.Key) error {
			mu.Lock()
			defer mu.Unlock()
			return f.Memory.Delete(ctx, k)
		}
		f.all = func(ctx context.Context) iter.Seq2[session.Entry, error] {
			return func(yield func(session.Entry, error) bool) {
				mu.Lock()
				defer mu.Unlock()
				f.Memory.All(ctx)(yield)
			}
		}
	},
	"keeps the last for longer": func(f *faulty) {
		f.newest = func(ctx context.Context, p string, keepLast bool) (session.Entry, error) {
			e, err := f.Memory.TakeNewest(ctx, p, keepLast)
			if err == nil && keepLast {
				if _, gone := f.Memory.Lookup(ctx, e.Key); gone == nil {
					_ = f.Memory.Update(ctx, e.Key, e.Session, short)
				}
			}
			return e, err
		}
	},
	"a refused Update removes": func(f *faulty) {
		f.update = func(ctx context.Context, k session.Key, s []byte, life time.Duration) error {
			err := f.Memory.Update(ctx, k, s, life)
			if errors.Is(err, session.ErrBadTTL) {
				_ = f.Memory.Delete(ctx, k)
			}
			return err
		}
	},
	"Take and Update in two steps": func(f *faulty) {
		f.take = func(ctx context.Context, k session.Key) ([]byte, error) {
			s, err := f.Memory.Lookup(ctx, k)
			if err == nil {
				err = f.Memory.Delete(ctx, k)
			}
			return s, err
		}
	},
	"TakeNewest in two steps": func(f *faulty) {
		f.newest = func(ctx context.Context, p string, keepLast bool) (session.Entry, error) {
			all, err := f.Memory.SelectSession(ctx, p, 2)
			if err != nil || len(all) == 0 {
				return session.Entry{}, errors.Join(err, session.ErrNotFound)
			}
			if len(all) == 1 && keepLast {
				return all[0], nil
			}
			return all[0], f.Memory.Delete(ctx, all[0].Key)
		}
	},
}
