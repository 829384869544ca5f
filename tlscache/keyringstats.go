package tlscache

import (
	"sync"
	"time"
)

// KeyringStats say which secrets a Keyring has, and how the source fares that it follows.
type KeyringStats struct {
	// Active is the id of the secret that seals.
	Active uint32

	// Accepted is how many secrets there are beside it.
	Accepted int

	// ActiveFor is how long Active has been that in this process: if it is much longer than secrets are to
	// last, nothing rotates them.
	ActiveFor time.Duration

	// Rotations is how often another became active since NewKeyring.
	Rotations uint64

	// Following is true while a Follow runs.
	Following bool

	// Reads are the times that a source was asked and its secrets taken, Failures those that came to nothing or are
	// not wholly believed.
	Reads, Failures uint64

	// ReadAge is how long ago the last of Reads was; 0 if there was none.
	ReadAge time.Duration

	// FailingFor is how long Failures have come with no Reads in between; 0 while all is well. The secrets
	// stay as they are meanwhile.
	FailingFor time.Duration

	// Failure is the error of the last of these, or empty.
	Failure string

	// Missing are those of Accepted, or Active, that the source did not have when it was last read. They go when no session
	// sealed under them can live any more: see FollowConfig.Keep.
	Missing int
}

// keyringTally is what KeyringStats are read from.
type keyringTally struct {
	sync.Mutex
	activeSince     time.Time
	rotations       uint64
	reads, failures uint64
	readAt          time.Time
	failingSince    time.Time // zero: all is well
	failure         string
	missing         int
}

// Stats returns the state of the Keyring. It takes a lock that no handshake takes.
func (k *Keyring) Stats() KeyringStats {
	set := k.keys()
	if set == nil {
		return KeyringStats{} // of a zero Keyring
	}
	t := &k.tally
	t.Lock()
	defer t.Unlock()
	now := time.Now()
	st := KeyringStats{
		Active: set.Active.ID, Accepted: len(set.All) - 1, ActiveFor: now.Sub(t.activeSince), Rotations: t.rotations,
		Following: k.following.Load(), Reads: t.reads, Failures: t.failures, Failure: t.failure, Missing: t.missing,
	}
	if !t.readAt.IsZero() {
		st.ReadAge = now.Sub(t.readAt)
	}
	if !t.failingSince.IsZero() {
		st.FailingFor = now.Sub(t.failingSince)
	}
	return st
}

// noteActive counts that another secret is active.
func (t *keyringTally) noteActive(first bool, now time.Time) {
	t.Lock()
	defer t.Unlock()
	t.activeSince = now
	if !first {
		t.rotations++
	}
}

// noteRead counts that a source was asked, and what came of it.
func (k *Keyring) noteRead(now time.Time, done outcome, err error) {
	t := &k.tally
	t.Lock()
	defer t.Unlock()
	if err == nil || done.doubt != nil {
		t.missing = done.missing
	}
	if err == nil {
		t.reads++
		t.readAt, t.failingSince, t.failure = now, time.Time{}, ""
		return
	}
	t.failures++
	t.failure = err.Error()
	if t.failingSince.IsZero() {
		t.failingSince = now
	}
}
