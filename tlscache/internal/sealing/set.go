package sealing

import (
	"fmt"
	"slices"
	"time"
)

// A Set is the secrets of a Keyring at one time, with their keys. It is immutable.
type Set struct {
	Active *Keys
	All    []*Keys // active first

	// retired are the namers of secrets that were in the set not long ago, newest first. Their sessions
	// may be resumed by processes that have them still, and here if they come back.
	retired []retired
}

// A retired secret left the set.
type retired struct {
	id uint32
	Namer
	at int64 // by the clock's order
}

// maxRetired bounds the secrets that a Set remembers the namers of: of daily rotations, more
// than two weeks', where one is enough.
const maxRetired = 16

// Replaced returns the set of other secrets, the active one first, that follows s, or nil, at a time by the clock's order. It
// remembers those that are gone for a while.
func (s *Set) Replaced(secrets []Secret, now int64, remember time.Duration) (*Set, error) {
	next := new(Set)
	for _, secret := range secrets {
		if secret.Bytes == [SecretSize]byte{} {
			return nil, fmt.Errorf("tlscache: %v is all zero; want %d random bytes", secret, SecretSize)
		}
		if known := next.Find(secret.ID); known != nil {
			if known.secret != secret {
				return nil, fmt.Errorf("tlscache: two secrets have the id %d; want an id for each", secret.ID)
			}
			continue // listed twice: a rotation that names the active one among the accepted
		}
		derived := s.Find(secret.ID)
		if derived == nil {
			var err error
			if derived, err = DeriveKeys(secret); err != nil {
				return nil, fmt.Errorf("tlscache: cannot derive keys from %v: %w", secret, err)
			}
		} else if derived.secret != secret {
			return nil, fmt.Errorf("tlscache: the id %d was another secret's; want a new id", secret.ID)
		}
		next.All = append(next.All, derived)
	}
	next.Active = next.All[0]
	next.retire(s, now, remember)
	return next, nil
}

// retire notes which secrets are no longer in the set.
func (s *Set) retire(old *Set, now int64, remember time.Duration) {
	if old == nil {
		return
	}
	for _, k := range old.All {
		if s.Find(k.ID) == nil {
			s.retired = append(s.retired, retired{k.ID, k.Namer, now})
		}
	}
	for _, r := range old.retired {
		if s.Find(r.id) == nil && now-r.at < int64(remember) {
			s.retired = append(s.retired, r)
		}
	}
	if len(s.retired) > maxRetired {
		s.retired = s.retired[:maxRetired:maxRetired]
	}
}

// A Naming is a way to name watermarks in a Store, and the keys to seal those with.
type Naming struct {
	Namer
	Keys *Keys
}

// Namings returns those of all secrets of which sessions may be resumed.
func (s *Set) Namings() []Naming {
	all := make([]Naming, 0, len(s.All)+len(s.retired))
	for _, k := range s.All {
		all = append(all, Naming{k.Namer, k})
	}
	for _, r := range s.retired {
		all = append(all, Naming{r.Namer, s.Active}) // nothing is left to seal with
	}
	return all
}

// Find returns the keys of an id, or nil: not ours, or no longer. The nil Set has none.
func (s *Set) Find(id uint32) *Keys {
	if s == nil {
		return nil
	}
	// A handful at most, so a list is the quicker map.
	i := slices.IndexFunc(s.All, func(k *Keys) bool { return k.ID == id })
	if i < 0 {
		return nil
	}
	return s.All[i]
}
