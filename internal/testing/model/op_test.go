package model

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestOpsSurviveEncoding(t *testing.T) {
	var ops []Op
	for k := range kinds {
		for i := range uint8(16) {
			ops = append(ops, Op{Kind: k, Partial: i, ID: 255 - i, Value: i, Time: 15 - i})
		}
	}
	if got := Decode(Encode(ops)); !slices.Equal(got, ops) {
		t.Errorf("Decode(Encode(ops)) = %v; want %v", got, ops)
	}
}

func TestAnyBytesDecode(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		data := make([]byte, random.IntN(64))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		ops := Decode(data)
		if len(ops) != len(data)/opBytes {
			t.Fatalf("Decode of %d bytes has %d ops; want %d", len(data), len(ops), len(data)/opBytes)
		}
		if again := Decode(Encode(ops)); !slices.Equal(again, ops) {
			t.Fatalf("Decode(Encode(%v)) = %v", ops, again)
		}
	}
}

func TestEveryKindDecodesFromItsNumber(t *testing.T) {
	for k := range kinds {
		if kindOf[k] != k {
			t.Errorf("kindOf[%d] = %v; want %v, or Encode is no inverse", k, kindOf[k], k)
		}
	}
}

func TestUniverseHasTheKeysThatBreakCaches(t *testing.T) {
	seen := map[string]int{}
	collisions, tooLong, longest := 0, 0, 0
	for p := range uint8(16) {
		for id := range uint8(8) {
			key := Op{Partial: p, ID: id}.Key()
			whole := key.Partial + key.ID
			if seen[whole]++; seen[whole] > 1 {
				collisions++
			}
			switch n := max(len(key.Partial), len(key.ID)); {
			case n > MaxKeyPart:
				tooLong++
			case n == MaxKeyPart:
				longest++
			}
		}
	}
	if collisions < 3 || tooLong == 0 || longest == 0 {
		t.Errorf("%d keys of equal concatenation, %d too long, %d just legal; want some of each", collisions, tooLong, longest)
	}
}

func TestSourceIsGo(t *testing.T) {
	got := Source([]Op{{Kind: UpdateTTL, Partial: 1, ID: 1, Time: 5}, {Kind: Lookup}})
	for _, want := range []string{
		"ops := []model.Op{\n",
		"\t{Kind: model.UpdateTTL, Partial: 1, ID: 1, Time: 5}, // UpdateTTL{\"a\" \"b\"} weight 1 ttl 16.777215ms\n",
		"\t{Kind: model.Lookup}, // Lookup{\"\" \"\"}\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("Source = %s; want it to contain %s", got, want)
		}
	}
}
