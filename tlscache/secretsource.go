package tlscache

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sessioncache/sessioncache/internal/faults"
	"github.com/sessioncache/sessioncache/internal/secretdir"
	"github.com/sessioncache/sessioncache/session"
)

// A Source says which secrets a fleet has at present. All processes of a fleet follow the same one: see Keyring.Follow.
//
// A good one lists the next secret among the accepted for as long as it takes all processes to ask, before that is active,
// and former ones for as long as sessions live.
type Source interface {
	// Secrets returns the active secret and those that are accepted beside it, in any order, at most 64 in all. The id of
	// a secret is higher than those of earlier ones, and never used again for other bytes. It may block until
	// ctx ends, which is 10 seconds after the call; one that is late after that is not called again before it returned.
	// Follow calls it from one goroutine at a time. Its errors are logged and in KeyringStats, so they must not
	// have a secret in them. If it panics, that is an error.
	Secrets(ctx context.Context) (active Secret, accepted []Secret, err error)
}

// FileSecrets returns the Source of a directory, which may be the mount of a Secret of Kubernetes. 'sessioncache secret'
// makes and rotates such directories.
//
// Each file NUMBER.secret is 32 random bytes, and the number the id of the secret. The highest is the next one, the second
// highest is active, as is one that is alone, and the others are former ones. So one more file, which must appear whole, is a
// rotation. Files that end otherwise are not looked at. If any of them is not whole or cannot be read, or if there is none, the
// whole directory is an error, and a Keyring that follows it stays as it is.
//
// A file must belong to this process's user or to root, with mode 0600 or 0400; 0440 or 0640 is accepted where it is root's and its group is one
// of this process's, as in a Pod with an fsGroup. Set defaultMode: 0400 in Kubernetes, where 0644 is the
// default, which is refused. The directory must not be writable for others, unless it has the sticky bit.
// Where there are no such modes, as on Windows, nothing is checked: restrict the directory yourself.
//
// It reads all files at each call: about 20 µs for each. Its errors contain no path. A file system that hangs is an error after 10
// seconds, and strands one goroutine.
func FileSecrets(dir string) Source { return fileSecrets{dir} }

type fileSecrets struct{ dir string }

// Format prints no path: that may tell something.
func (fileSecrets) Format(f fmt.State, _ rune) { fmt.Fprint(f, "tlscache.FileSecrets") }

func (s fileSecrets) Secrets(context.Context) (active Secret, accepted []Secret, err error) {
	all, err := secretdir.Read(s.dir)
	if err != nil {
		return active, nil, fmt.Errorf("tlscache: directory of secrets: %w", err)
	}
	i := secretdir.Active(all)
	for j, secret := range all {
		if j != i {
			accepted = append(accepted, Secret(secret))
		}
	}
	return Secret(all[i]), accepted, nil
}

const (
	// MinDerivedPeriod is the shortest period of DerivedSecrets: of shorter ones, the former secrets of 7 days would be
	// more than a Keyring looks through for each ticket.
	MinDerivedPeriod = 3 * time.Hour

	// MaxDerivedPeriod is the longest period of DerivedSecrets: one secret must not seal too much.
	MaxDerivedPeriod = 30 * 24 * time.Hour
)

// DerivedSecrets returns a Source that needs no coordination: it derives the secret of each period from one master secret, by
// HKDF-SHA-256 (RFC 5869), and its id is the number of the period since 1970. All processes with the same
// master and period have the same secrets, if their clocks differ by less than a period: those of the present period,
// the next one and as many former ones as sessions may live for, 7 days.
//
// Forward secrecy is weaker than with secrets that are random. Whoever obtains the master has the secrets of all times, former ones
// included, and can read all that was ever sealed under them. Rotation only bounds what is sealed under one secret, and what
// one derived secret gives away if it alone leaks. Where that matters use FileSecrets, where a former secret is gone once
// it is deleted.
//
// The master must be at least 32 bytes from a good random source, not a passphrase; it is copied. The period is from
// MinDerivedPeriod to MaxDerivedPeriod, in whole seconds; a day is a good one. The error names every faulty argument.
func DerivedSecrets(master []byte, period time.Duration) (Source, error) {
	var wrong faults.List
	if len(master) < SecretSize {
		wrong.Add("master has %d bytes; want at least %d random ones", len(master), SecretSize)
	}
	if period < MinDerivedPeriod || period > MaxDerivedPeriod || period%time.Second != 0 {
		wrong.Add("period is %v; want from %v to %v, in whole seconds", period, MinDerivedPeriod, MaxDerivedPeriod)
	}
	if err := wrong.Err("tlscache"); err != nil {
		return nil, err
	}
	prk, err := hkdf.Extract(sha256.New, master, []byte("sessioncache derived secrets v1"))
	if err != nil {
		return nil, fmt.Errorf("tlscache: cannot derive secrets: %w", err)
	}
	return &derivedSecrets{prk: prk, period: period, now: time.Now}, nil
}

type derivedSecrets struct {
	prk    []byte
	period time.Duration
	now    func() time.Time
}

// Format prints no key.
func (*derivedSecrets) Format(f fmt.State, _ rune) { fmt.Fprint(f, "tlscache.DerivedSecrets") }

func (d *derivedSecrets) Secrets(context.Context) (active Secret, accepted []Secret, err error) {
	seconds := int64(d.period / time.Second)
	number := d.now().Unix() / seconds
	former := int64((session.MaxTTL+d.period-1)/d.period) + 1 // and one, for a session of the end of a period
	if number < 0 || number >= math.MaxUint32 {
		return active, nil, errors.New("tlscache: the clock is before 1970 or far ahead; want the present time")
	}
	for n := max(0, number-former); n <= number+1; n++ {
		s, err := d.derive(uint32(n), seconds)
		if err != nil {
			return active, nil, err
		}
		if n == number {
			active = s
		} else {
			accepted = append(accepted, s)
		}
	}
	return active, accepted, nil
}

// derive returns the secret of a period. The length of periods is in it, so that processes which were told different ones
// have different secrets, not the same bytes for different times.
func (d *derivedSecrets) derive(number uint32, seconds int64) (Secret, error) {
	info := binary.BigEndian.AppendUint64([]byte("secret"), uint64(seconds))
	info = binary.BigEndian.AppendUint32(info, number)
	b, err := hkdf.Expand(sha256.New, d.prk, string(info), SecretSize)
	if err != nil {
		return Secret{}, fmt.Errorf("tlscache: cannot derive a secret: %w", err)
	}
	return Secret{ID: number, Bytes: [SecretSize]byte(b)}, nil
}
