package tlscache

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sessioncache/sessioncache/internal/secretdir"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

const (
	// leadPolls is for how many polls a secret is accepted before it is active: the other processes ask within one and an
	// eighth, so they know it when the first ticket comes that is sealed under it.
	leadPolls = 2

	// believeAfter is how long a source must name an older secret than the active one before that is active: it
	// has lost some. Mistakes are mended within; what a clock that was wrong made active must not stay so for ever.
	believeAfter = time.Hour

	// maxHeld bounds the secrets of a Keyring that follows: those that the source has, and as many that it has no more.
	maxHeld = 2 * secretdir.MaxSecrets
)

// A ledger is what a follower knows of the secrets in its Keyring, by their ids. Times are those of this process.
type ledger struct {
	begun   bool // a source's secrets were taken
	entries map[uint32]ledgerEntry
	doubted time.Time // since when the source names an older secret as active; zero: it does not
}

type ledgerEntry struct {
	known  time.Time // since then it is accepted
	used   time.Time // then it was in use, as far as that is known
	served bool      // it has been active here
	listed bool      // the source had it when it was last asked
}

// An outcome is what came of one answer.
type outcome struct {
	rotated  bool     // another secret is active
	active   uint32   // now
	accepted int      // beside it
	lost     []uint32 // accepted, and the source has them no more, unlike before
	missing  int      // accepted, and the source does not have them
	doubt    error    // why the source's active secret is not believed to be that
}

// take gives the Keyring the secrets that a source has, and keeps those that it lacks for as long as they are of use. After
// an error all is as it was.
func (k *Keyring) take(l *ledger, a answer, cfg FollowConfig, now time.Time) (outcome, error) {
	k.replacing.Lock()
	defer k.replacing.Unlock()
	before := k.keys()
	l.meet(before, now)
	active, doubt := l.choose(before.Active.ID, a, cfg.Poll, now)
	secrets := []sealing.Secret{sealing.Secret(a.active)}
	for _, s := range a.accepted {
		secrets = append(secrets, sealing.Secret(s))
	}
	listed := len(secrets)
	secrets = append(secrets, l.unlisted(before, secrets, active, cfg.Keep, now)...)
	// The active one goes first.
	i := slices.IndexFunc(secrets, func(s sealing.Secret) bool { return s.ID == active })
	has := idsOf(secrets[:listed])
	secrets[0], secrets[i] = secrets[i], secrets[0]
	next, err := before.Replaced(secrets, k.clock.Read().Order, markLife)
	if err != nil {
		return outcome{}, err
	}
	done := l.note(before, next, has, now)
	done.doubt = doubt
	if !sameIDs(before, next) {
		k.installLocked(next, now)
	}
	return done, nil
}

func idsOf(secrets []sealing.Secret) map[uint32]bool {
	ids := make(map[uint32]bool, len(secrets))
	for _, s := range secrets {
		ids[s.ID] = true
	}
	return ids
}

// sameIDs reports whether two sets that follow each other are the same: an id never gets other bytes.
func sameIDs(a, b *sealing.Set) bool {
	return a.Active == b.Active && len(a.All) == len(b.All) &&
		!slices.ContainsFunc(b.All, func(k *sealing.Keys) bool { return a.Find(k.ID) == nil })
}

// meet notes the secrets that are in the Keyring and in no ledger: from before Follow, or from a Replace.
func (l *ledger) meet(set *sealing.Set, now time.Time) {
	if l.entries == nil {
		l.entries = make(map[uint32]ledgerEntry)
	}
	for _, k := range set.All {
		if _, met := l.entries[k.ID]; !met {
			l.entries[k.ID] = ledgerEntry{known: now, used: now}
		}
	}
}

// choose returns which secret is to be active, the source's or the present one, and why the source is not believed if so.
func (l *ledger) choose(present uint32, a answer, poll time.Duration, now time.Time) (uint32, error) {
	// The first answer counts at once: other processes that begin with it do the same.
	if !l.begun || a.active.ID == present {
		l.doubted = time.Time{}
		return a.active.ID, nil
	}
	if a.active.ID > present {
		l.doubted = time.Time{}
	} else {
		if l.doubted.IsZero() {
			l.doubted = now
		}
		if now.Sub(l.doubted) < believeAfter {
			return present, fmt.Errorf("tlscache: the source of secrets names an older secret, %d, as active than %d, which is; want a newer one, unless some were lost", a.active.ID, present)
		}
	}
	if e, met := l.entries[a.active.ID]; !met || now.Sub(e.known) < leadPolls*poll {
		return present, nil // accepted from now on, and active when the others know it
	}
	return a.active.ID, nil
}

// unlisted returns the secrets of a set that a source lacks and that are of use, those that were used last if there are too many.
func (l *ledger) unlisted(set *sealing.Set, listed []sealing.Secret, active uint32, keep time.Duration, now time.Time) (kept []sealing.Secret) {
	has := idsOf(listed)
	for _, k := range set.All {
		if !has[k.ID] && (k.ID == active || k == set.Active || now.Sub(l.entries[k.ID].used) < keep) {
			kept = append(kept, k.Secret())
		}
	}
	slices.SortFunc(kept, func(a, b sealing.Secret) int {
		if a.ID == active || b.ID == active {
			return map[bool]int{true: -1, false: 1}[a.ID == active]
		}
		return l.entries[b.ID].used.Compare(l.entries[a.ID].used)
	})
	return kept[:min(len(kept), max(1, maxHeld-len(listed)))]
}

// note writes down that a set follows another, and which of its secrets the source has.
func (l *ledger) note(before, set *sealing.Set, has map[uint32]bool, now time.Time) outcome {
	done := outcome{rotated: before.Active.ID != set.Active.ID, active: set.Active.ID, accepted: len(set.All) - 1}
	entries := make(map[uint32]ledgerEntry, len(set.All))
	for _, k := range set.All {
		e, met := l.entries[k.ID]
		if !met {
			e.known = now
		}
		e.served = e.served || k == set.Active || k == before.Active
		// A former one is in use no more. Whether one that was never active here is so elsewhere cannot be told.
		if k == set.Active || k == before.Active || !e.served && has[k.ID] {
			e.used = now
		}
		if !has[k.ID] {
			done.missing++
			if e.listed {
				done.lost = append(done.lost, k.ID)
			}
		}
		e.listed = has[k.ID]
		entries[k.ID] = e
	}
	slices.SortFunc(done.lost, cmp.Compare[uint32])
	l.entries, l.begun = entries, true
	return done
}
