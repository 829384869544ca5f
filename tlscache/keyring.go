package tlscache

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
)

// SecretSize is the length of a Secret in bytes.
const SecretSize = 32

// A Secret is what the processes of a fleet have in common: 32 random bytes and the id by which
// handles and records name them. It prints as its id alone.
type Secret struct {
	// ID names the secret. Processes that share sessions must know the same secret by the
	// same id; an id is never used again for other bytes.
	ID uint32

	// Bytes are 32 bytes from a good random source. An attacker who has them can read every
	// session that was sealed under them.
	Bytes [SecretSize]byte
}

// NewSecret returns a random Secret of the given id.
func NewSecret(id uint32) Secret {
	s := Secret{ID: id}
	rand.Read(s.Bytes[:]) // never fails
	return s
}

// Format prints the id, with every verb: a Secret must not end in a log.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "secret %d", s.ID) }

// LogValue is the id.
func (s Secret) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalText is the id. There is no UnmarshalText: read Bytes from where secrets are kept.
func (s Secret) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(s)), nil }

// A Keyring holds the secrets of a Server or Client: one is active, which seals; the others are
// accepted, which means that what was sealed under them opens. Every key in use is derived from
// a secret by HKDF-SHA-256 (RFC 5869), one per purpose.
//
// To rotate, first give every process the next secret among the accepted, then make it active
// with Replace, and keep the former among the accepted for as long as sessions live. Rotate
// daily: a secret must not seal more than 2^32 handles.
//
// A Keyring is safe for concurrent use; handshakes that run during Replace see the old set or
// the new one. The zero Keyring is not usable; call NewKeyring. It must not be copied.
type Keyring struct {
	replacing sync.Mutex
	set       atomic.Pointer[keySet]

	// Servers of one process that share a Keyring resume each other's sessions, so they must know
	// each other's revocations, and what came before what.
	marks      *watermarks
	clock      clock.Clock
	publishers publishers
}

// A keySet is the state of a Keyring at one time. It is immutable.
type keySet struct {
	active *keys
	all    []*keys // active first

	// retired are the namers of secrets that were in the set not long ago, newest first. Their sessions
	// may be resumed by processes that have them still, and here if they come back.
	retired []retired
}

// A retired secret left the set.
type retired struct {
	id uint32
	namer
	at int64 // by the clock's order
}

// maxRetired bounds the secrets that a Keyring remembers the namers of: of daily rotations, more
// than two weeks', where one is enough.
const maxRetired = 16

// NewKeyring returns a Keyring. Accepted are earlier secrets and the next one, in any order.
func NewKeyring(active Secret, accepted ...Secret) (*Keyring, error) {
	k := new(Keyring)
	k.marks = newWatermarks(&k.clock)
	if err := k.Replace(active, accepted...); err != nil {
		return nil, err
	}
	return k, nil
}

// Replace replaces all secrets at once. After an error the Keyring is as it was. A secret that
// is no longer among them ends the sessions sealed under it.
func (k *Keyring) Replace(active Secret, accepted ...Secret) error {
	k.replacing.Lock()
	defer k.replacing.Unlock()
	old := k.set.Load()
	next := new(keySet)
	for _, s := range append([]Secret{active}, accepted...) {
		if s.Bytes == [SecretSize]byte{} {
			return fmt.Errorf("tlscache: %v is all zero; want %d random bytes", s, SecretSize)
		}
		if known := next.find(s.ID); known != nil {
			if known.secret != s {
				return fmt.Errorf("tlscache: two secrets have the id %d; want an id for each", s.ID)
			}
			continue // listed twice: a rotation that names the active one among the accepted
		}
		derived := old.find(s.ID)
		if derived == nil {
			var err error
			if derived, err = deriveKeys(s); err != nil {
				return fmt.Errorf("tlscache: cannot derive keys from %v: %w", s, err)
			}
		} else if derived.secret != s {
			return fmt.Errorf("tlscache: the id %d was another secret's; want a new id", s.ID)
		}
		next.all = append(next.all, derived)
	}
	next.active = next.all[0]
	next.retire(old, k.clock.Read().Order)
	k.set.Store(next)
	k.publishers.each((*Server).secretsChanged)
	return nil
}

// retire notes which secrets are no longer in the set.
func (s *keySet) retire(old *keySet, now int64) {
	if old == nil {
		return
	}
	for _, k := range old.all {
		if s.find(k.id) == nil {
			s.retired = append(s.retired, retired{k.id, k.namer, now})
		}
	}
	for _, r := range old.retired {
		if s.find(r.id) == nil && now-r.at < int64(markLife) {
			s.retired = append(s.retired, r)
		}
	}
	if len(s.retired) > maxRetired {
		s.retired = s.retired[:maxRetired:maxRetired]
	}
}

// A naming is a way to name watermarks in a Store, and the keys to seal those with.
type naming struct {
	namer
	keys *keys
}

// namings returns those of all secrets of which sessions may be resumed.
func (s *keySet) namings() []naming {
	all := make([]naming, 0, len(s.all)+len(s.retired))
	for _, k := range s.all {
		all = append(all, naming{k.namer, k})
	}
	for _, r := range s.retired {
		all = append(all, naming{r.namer, s.active}) // nothing is left to seal with
	}
	return all
}

// active returns the keys that seal.
func (k *Keyring) active() *keys { return k.set.Load().active }

// find returns the keys of an id, or nil: not ours, or no longer.
func (k *Keyring) find(id uint32) *keys { return k.set.Load().find(id) }

func (s *keySet) find(id uint32) *keys {
	if s == nil {
		return nil
	}
	// A handful at most, so a list is the quicker map.
	i := slices.IndexFunc(s.all, func(k *keys) bool { return k.id == id })
	if i < 0 {
		return nil
	}
	return s.all[i]
}
