package tlscache

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
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
func (s Secret) Format(f fmt.State, verb rune) { sealing.Secret(s).Format(f, verb) }

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
// daily: a secret must not seal more than 2^32 handles. Follow does all of this by itself, from a Source.
//
// A Keyring is safe for concurrent use; handshakes that run during Replace see the old set or
// the new one. The zero Keyring is not usable; call NewKeyring. It must not be copied.
type Keyring struct {
	replacing sync.Mutex
	set       atomic.Pointer[sealing.Set]
	following atomic.Bool
	tally     keyringTally

	// Servers of one process that share a Keyring resume each other's sessions, so they must know
	// each other's revocations, and what came before what.
	marks      *watermarks
	clock      clock.Clock
	publishers publishers
}

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
	secrets := []sealing.Secret{sealing.Secret(active)}
	for _, s := range accepted {
		secrets = append(secrets, sealing.Secret(s))
	}
	next, err := k.keys().Replaced(secrets, k.clock.Read().Order, markLife)
	if err != nil {
		return err
	}
	k.installLocked(next, time.Now())
	return nil
}

// installLocked lets a set follow the present one.
func (k *Keyring) installLocked(next *sealing.Set, now time.Time) {
	if before := k.keys(); before == nil || before.Active.ID != next.Active.ID {
		k.tally.noteActive(before == nil, now)
	}
	k.set.Store(next)
	k.publishers.each((*Server).secretsChanged)
}

// keys returns all keys of this moment.
func (k *Keyring) keys() *sealing.Set { return k.set.Load() }

// active returns the keys that seal.
func (k *Keyring) active() *sealing.Keys { return k.keys().Active }

// find returns the keys of an id, or nil: not ours, or no longer.
func (k *Keyring) find(id uint32) *sealing.Keys { return k.keys().Find(id) }
