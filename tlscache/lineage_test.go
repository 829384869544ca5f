package tlscache

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Connections are between unwrapping and wrapping in any order; whatever it is, none may be given a
// later time than that of the session it resumed.
func TestNoConnectionInheritsALaterTimeThanItsOwn(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		n, key, now := newNotes(), lineageKey{server: host}, time.Now()
		var between []int64
		most := 1 + random.IntN(maxNotesEach+maxNotesEach/2)
		for range 2000 {
			now = now.Add(time.Duration(random.Int64N(int64(noteLife) / int64(4*most))))
			if len(between) < most && random.IntN(2) == 0 || len(between) == 0 {
				auth := random.Int64N(1000)
				n.add(key, auth, now)
				between = append(between, auth)
				continue
			}
			i := random.IntN(len(between))
			if auth, ok := n.inherit(key, now); ok && auth > between[i] {
				t.Fatalf("seed %d: inherited %d; its own is %d", seed, auth, between[i])
			}
			between[i] = between[len(between)-1]
			between = between[:len(between)-1]
		}
	}
}

func TestAloneBetweenUnwrapAndWrapAConnectionInheritsItsOwnTime(t *testing.T) {
	n, now := newNotes(), time.Now()
	for i := range int64(1000) {
		key := lineageKey{principal: principalID{byte(i % 3)}}
		n.add(key, i, now)
		if auth, ok := n.inherit(key, now.Add(noteLife)); !ok || auth != i {
			t.Errorf("inherit = %d, %v; want %d", auth, ok, i)
		}
	}
	for i := range n.shards {
		if left := len(n.shards[i].mu.of); left > 0 {
			t.Errorf("shard %d keeps %d keys of which nobody is between the two", i, left)
		}
	}
}

func TestNotesOfHandshakesThatEndedAreForgotten(t *testing.T) {
	n, key, now := newNotes(), lineageKey{server: host}, time.Now()
	n.add(key, 1, now)
	if _, ok := n.inherit(key, now.Add(noteLife+1)); ok {
		t.Error("a note was inherited after its life")
	}
	for range 10 * maxNotesEach { // more than are kept one by one
		n.add(key, 1, now)
	}
	now = now.Add(2*noteLife + 2)
	n.add(key, 2, now)
	if auth, ok := n.inherit(key, now); !ok || auth != 2 {
		t.Errorf("inherit = %d, %v two lives later; want 2", auth, ok)
	}
	if _, ok := n.inherit(lineageKey{server: "other.example"}, now); ok {
		t.Error("inherited the note of another server name")
	}
}

func TestNotesAreBounded(t *testing.T) {
	n, now := newNotes(), time.Now()
	key := func(i int) lineageKey {
		return lineageKey{principal: principalID{byte(i), byte(i >> 8), byte(i >> 16)}}
	}
	for i := range 2 * noteShards * maxNoteKeys {
		n.add(key(i), 1, now)
	}
	held := 0
	for i := range n.shards {
		held += len(n.shards[i].mu.of)
	}
	if held > noteShards*maxNoteKeys {
		t.Errorf("%d keys; want at most %d", held, noteShards*maxNoteKeys)
	}
	now = now.Add(2*noteLife + 2) // all of them are of no use now
	n.add(key(1<<20), 1, now)
	if _, ok := n.inherit(key(1<<20), now); !ok {
		t.Error("no room was made for a new key")
	}
}
