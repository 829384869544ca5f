package model

import "testing"

func TestCollidingKeysAreTheSameKeys(t *testing.T) {
	seen := map[Key]Key{}
	for p := range uint8(16) {
		for id := range 256 {
			plain := Op{Partial: p, ID: uint8(id)}.Key()
			key := Colliding.Of(plain)
			if other, again := seen[key]; again {
				t.Fatalf("%v and %v have the same name", plain, other)
			}
			seen[key] = plain
			if got := Colliding.Plain(key); got != plain {
				t.Fatalf("Plain(Of(%v)) = %v", plain, got)
			}
			for _, part := range [][2]string{{plain.Partial, key.Partial}, {plain.ID, key.ID}} {
				if legal := len(part[0]) <= MaxKeyPart; legal != (len(part[1]) == 64) || !legal && part[0] != part[1] {
					t.Fatalf("%s is renamed to %s", short(part[0]), short(part[1]))
				}
			}
			if Plain.Of(plain) != plain || Plain.Plain(plain) != plain {
				t.Fatalf("the plain universe renames %v", plain)
			}
		}
	}
}
