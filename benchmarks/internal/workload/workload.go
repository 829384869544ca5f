// Package workload makes the keys, sessions and accesses that every cache is measured with.
//
// A key is a partial key of 25 bytes (a host and its port, 100,000 of them) and an id of 32
// random-looking bytes. A value is a pointer to a session of 256 bytes. Accesses lie in memory in
// the order in which they are made, each with key bytes of its own, one cache line apart: the
// processor fetches them ahead, so that the caches' misses are measured and not the harness's, and
// no access shares its bytes with the key that a cache holds.
package workload

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

const (
	// PartialLen and IDLen are the lengths of the two parts of a key, in bytes.
	PartialLen = 25
	IDLen      = 32
	KeyLen     = PartialLen + IDLen

	// SessionLen is the size of a session, in bytes.
	SessionLen = 256

	// Hosts is the number of partial keys; session n belongs to host n mod Hosts.
	Hosts = 100_000

	// TTL is the life of every session, where a scenario says nothing else.
	TTL = 24 * time.Hour

	// Fresh is the first of the numbers that no session of a filled cache has.
	Fresh = uint64(1) << 32

	recordLen = 64 // of an access: a key, padded to a cache line
)

// A Session is what the caches' values point at. Caches that store bytes store all of it.
type Session struct {
	Number uint64
	TTL    time.Duration // of its own, in scenarios that give each session another
	_      [SessionLen - 16]byte
}

// Bytes returns the session's bytes, not a copy.
func (s *Session) Bytes() []byte { return (*[SessionLen]byte)(unsafe.Pointer(s))[:] }

// NumberIn returns the number of the session whose bytes these are, or a number that no
// session has.
func NumberIn(b []byte) uint64 {
	if len(b) != SessionLen {
		return ^uint64(0)
	}
	return binary.NativeEndian.Uint64(b)
}

// NewSessions returns n sessions, numbered from 0, in one block without pointers.
func NewSessions(n int) []Session {
	s := make([]Session, n)
	for i := range s {
		s[i].Number = uint64(i)
	}
	return s
}

// A Load is a population of sessions.
type Load struct {
	Sessions int
	Hosts    int
}

// LoadOf returns the usual population of a number of sessions: Hosts hosts, or as many as give
// each ten sessions if that is fewer.
func LoadOf(sessions int) Load { return Load{sessions, max(1, min(Hosts, sessions/10))} }

// Host returns the host of a session.
func (l Load) Host(number uint64) int { return int(number % uint64(l.Hosts)) }

// Scattered returns the i-th session of an order in which neighbours are not related. Each
// session comes once.
func (l Load) Scattered(i uint64) uint64 {
	const stride = 611_953 // a prime that divides no population used here
	return i * stride % uint64(l.Sessions)
}

// AppendKey appends the key of a session.
func AppendKey(dst []byte, host int, number uint64) []byte {
	dst = append(dst, "host00000.example.net:443"...)
	for at := len(dst) - PartialLen + len("host0000"); host > 0; at-- {
		dst[at] += byte(host % 10)
		host /= 10
	}
	for word := range uint64(IDLen / 8) {
		dst = binary.LittleEndian.AppendUint64(dst, mix(number*(IDLen/8)+word))
	}
	return dst
}

// Key returns the key of a session.
func (l Load) Key(number uint64) string {
	return string(AppendKey(make([]byte, 0, KeyLen), l.Host(number), number))
}

// mix is the output function of SplitMix64: a bijection, so different numbers have different ids.
func mix(x uint64) uint64 {
	x = (x + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// A Trace is a sequence of accesses.
type Trace struct {
	records []byte // of recordLen bytes each; holds no pointers
	numbers []uint32
}

// Absent in Trace.Number marks a session that no filled cache holds.
const Absent = ^uint32(0)

// Len returns the number of accesses.
func (t *Trace) Len() int { return len(t.numbers) }

// Key returns the key of an access. It aliases the trace, which never changes.
func (t *Trace) Key(i int) string {
	return unsafe.String(&t.records[i*recordLen], KeyLen)
}

// Number returns the number of the session of an access, or Absent.
func (t *Trace) Number(i int) uint32 { return t.numbers[i] }

// Copy returns the same accesses with key bytes of their own.
func (t *Trace) Copy() *Trace {
	c := &Trace{records: alignedBytes(len(t.records)), numbers: t.numbers}
	copy(c.records, t.records)
	return c
}

// A draw returns the host and the number of the i-th access.
type draw func(i int) (host int, number uint64)

// newTrace makes a trace of n accesses on all processors, block by block. Each block has a random
// source of its own, seeded for its place, so that the trace does not depend on the processors.
func newTrace(n int, drawWith func(*rand.Rand) draw) *Trace {
	const block = 1 << 14
	t := &Trace{records: alignedBytes(n * recordLen), numbers: make([]uint32, n)}
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for start := range next {
				t.fill(start, min(start+block, n), drawWith(rand.New(rand.NewPCG(uint64(start), uint64(n)))))
			}
		})
	}
	for start := 0; start < n; start += block {
		next <- start
	}
	close(next)
	wg.Wait()
	return t
}

func (t *Trace) fill(start, end int, next draw) {
	for i := start; i < end; i++ {
		host, number := next(i)
		at := i * recordLen
		AppendKey(t.records[at:at:at+KeyLen], host, number)
		t.numbers[i] = Absent
		if number < Fresh {
			t.numbers[i] = uint32(number)
		}
	}
}

// alignedBytes returns n bytes from the start of a cache line.
func alignedBytes(n int) []byte {
	b := make([]byte, n+recordLen)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (recordLen - 1)
	return b[skip:][:n:n]
}

// All is a trace of every session, once.
func (l Load) All() *Trace {
	return newTrace(l.Sessions, func(*rand.Rand) draw {
		return func(i int) (int, uint64) {
			number := l.Scattered(uint64(i))
			return l.Host(number), number
		}
	})
}

// Uniform is a trace of n accesses to sessions of which each is as likely.
func (l Load) Uniform(n int) *Trace {
	return newTrace(n, func(rng *rand.Rand) draw {
		return func(int) (int, uint64) {
			number := rng.Uint64N(uint64(l.Sessions))
			return l.Host(number), number
		}
	})
}

// Zipf is a trace of n accesses to sessions whose popularity follows Zipf's law with s = 1.01.
func (l Load) Zipf(n int) *Trace {
	return newTrace(n, func(rng *rand.Rand) draw {
		zipf := rand.NewZipf(rng, 1.01, 1, uint64(l.Sessions-1))
		return func(int) (int, uint64) {
			number := l.Scattered(zipf.Uint64())
			return l.Host(number), number
		}
	})
}

// New is a trace of n sessions of known hosts that no cache holds, each once.
func (l Load) New(n int) *Trace { return l.numbered(n, Fresh) }

// Newer is like New, with sessions that New does not have.
func (l Load) Newer(n int) *Trace { return l.numbered(n, 2*Fresh) }

func (l Load) numbered(n int, first uint64) *Trace {
	return newTrace(n, func(rng *rand.Rand) draw {
		return func(i int) (int, uint64) { return rng.IntN(l.Hosts), first + uint64(i) }
	})
}
