package workload

import (
	"testing"
	"unsafe"
)

func TestKeysAreAPartialKeyAndAnID(t *testing.T) {
	l := LoadOf(1_000_000)
	seen := map[string]bool{}
	for n := range uint64(10_000) {
		key := l.Key(n)
		if len(key) != KeyLen || key[4:9] != "0"+key[5:9] && n < 10_000 && l.Hosts == 100_000 {
			t.Fatalf("Key(%d) = %q", n, key)
		}
		if seen[key] {
			t.Fatalf("Key(%d) came before", n)
		}
		seen[key] = true
	}
	if got, want := l.Key(123_456)[:PartialLen], "host23456.example.net:443"; got != want {
		t.Errorf("the partial key of session 123456 is %q; want %q", got, want)
	}
}

func TestAllHoldsEverySessionOnce(t *testing.T) {
	for _, n := range []int{1_000, 50_000} {
		l := LoadOf(n)
		trace := l.All()
		seen := make([]bool, n)
		for i := range trace.Len() {
			number := trace.Number(i)
			if seen[number] {
				t.Fatalf("%d sessions: session %d comes twice", n, number)
			}
			seen[number] = true
			if got, want := trace.Key(i), l.Key(uint64(number)); got != want {
				t.Fatalf("access %d has key %q; want that of session %d, %q", i, got, number, want)
			}
		}
	}
}

// Two accesses to one session must not share bytes, and each key must lie in one cache line.
func TestAccessesLieApartInOrder(t *testing.T) {
	trace := LoadOf(10).Uniform(1000)
	for i := range trace.Len() {
		at := uintptr(unsafe.Pointer(unsafe.StringData(trace.Key(i))))
		if at%64 != 0 {
			t.Fatalf("access %d does not begin a cache line", i)
		}
		if i > 0 && at != uintptr(unsafe.Pointer(unsafe.StringData(trace.Key(i-1))))+64 {
			t.Fatalf("access %d does not follow access %d in memory", i, i-1)
		}
	}
}

func TestZipfIsSkewedAndRepeatable(t *testing.T) {
	l := LoadOf(100_000)
	a, b := l.Zipf(200_000), l.Zipf(200_000)
	counts := map[uint32]int{}
	for i := range a.Len() {
		if a.Number(i) != b.Number(i) {
			t.Fatalf("access %d differs between two traces of one load", i)
		}
		counts[a.Number(i)]++
	}
	most := 0
	for _, n := range counts {
		most = max(most, n)
	}
	// The most popular of 100,000 has about 1/ln(100,000) of the accesses.
	if share := float64(most) / 200_000; share < 0.05 || share > 0.15 {
		t.Errorf("the most popular session has %.3f of the accesses; want about 0.08", share)
	}
}

func TestNewSessionsAreNotAmongTheFilled(t *testing.T) {
	l := LoadOf(1000)
	held := map[string]bool{}
	for all, i := l.All(), 0; i < all.Len(); i++ {
		held[all.Key(i)] = true
	}
	trace := l.New(5000)
	for i := range trace.Len() {
		if trace.Number(i) != Absent || held[trace.Key(i)] {
			t.Fatalf("access %d is to a session that exists", i)
		}
		held[trace.Key(i)] = true
	}
}

func TestSessionsShowTheirNumberInTheirBytes(t *testing.T) {
	s := NewSessions(3)
	if got := NumberIn(s[2].Bytes()); got != 2 || len(s[2].Bytes()) != SessionLen {
		t.Errorf("NumberIn = %d in %d bytes; want 2 in %d", got, len(s[2].Bytes()), SessionLen)
	}
	if got := NumberIn(nil); got != ^uint64(0) {
		t.Errorf("NumberIn of no bytes = %d; want a number that no session has", got)
	}
}
