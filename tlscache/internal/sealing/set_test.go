package sealing

import (
	"errors"
	"testing"
	"time"
)

func TestASetOpensWhatAnyOfItsSecretsSealed(t *testing.T) {
	one := setOf(t, 1)
	sealed, err := one.Active.Seal(KindRecord, nil, nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		ids  []uint32
		want error
	}{
		{"active", []uint32{1}, nil},
		{"accepted", []uint32{2, 1, 3}, nil},
		{"gone", []uint32{2, 3}, ErrUnknownKey},
	} {
		next, err := one.Replaced(secretsOf(tt.ids...), 1, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if next.Active.ID != tt.ids[0] {
			t.Errorf("%s: the active secret is %d; want the first", tt.name, next.Active.ID)
		}
		if _, err := next.Open(KindRecord, nil, nil, sealed); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", tt.name, err, tt.want)
		}
	}
}

// A revocation is written under the names of each secret under which sessions may still be resumed somewhere.
func TestASetNamesUnderSecretsThatLeftItNotLongAgo(t *testing.T) {
	const remember = time.Hour
	names := func(s *Set) (n int) {
		seen := map[Name]bool{}
		for _, under := range s.Namings() {
			seen[under.Name(OfPrincipal, []byte("a"))] = true
			if s.Find(under.Keys.ID) == nil {
				t.Error("a naming seals with keys that are not in the set")
			}
		}
		return len(seen)
	}
	s := setOf(t, 1, 2)
	now := int64(1)
	for _, step := range []struct {
		what string
		ids  []uint32
		pass time.Duration
		want int
	}{
		{"as it was", []uint32{1, 2}, 0, 2},
		{"one left", []uint32{2}, 0, 2},
		{"it came back", []uint32{2, 1}, time.Minute, 2},
		{"it left again", []uint32{2, 3}, time.Minute, 3},
		{"long ago", []uint32{2, 3}, remember, 2},
	} {
		now += int64(step.pass)
		next, err := s.Replaced(secretsOf(step.ids...), now, remember)
		if err != nil {
			t.Fatal(err)
		}
		if s = next; names(s) != step.want {
			t.Errorf("%s: %d namings; want %d", step.what, names(s), step.want)
		}
	}
}

func TestASetRemembersABoundedNumberOfSecrets(t *testing.T) {
	s := setOf(t, 1)
	for id := range uint32(3 * maxRetired) {
		next, err := s.Replaced(secretsOf(id+2), 1, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	if n := len(s.Namings()); n != 1+maxRetired {
		t.Errorf("%d namings; want the active secret's and %d", n, maxRetired)
	}
}
