package tlscache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/internal/faults"
	"github.com/sessioncache/sessioncache/internal/secretdir"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
)

const (
	// DefaultPoll is the default of FollowConfig.Poll. The kubelet takes a minute or two to bring a Secret to all nodes, so to ask
	// more often gains little.
	DefaultPoll = 30 * time.Second

	// DefaultKeep is the default of FollowConfig.Keep: the longest that any session lives, and what clocks may differ by.
	DefaultKeep = markLife

	minPoll = 100 * time.Millisecond
	maxPoll = time.Hour

	// readTimeout is how long a source may take.
	readTimeout = 10 * time.Second

	// firstRetry is how soon a source that failed is asked again: what is half written is whole in an instant. The
	// pauses double up to FollowConfig.Poll.
	firstRetry = time.Second

	// sayAgain is how often a failure that stays the same is logged.
	sayAgain = time.Hour
)

// FollowConfig sets up Keyring.Follow. The zero value is a good one.
type FollowConfig struct {
	// Poll is how often the source is asked, give or take an eighth, so that a fleet does not ask in step. From 100 ms
	// to 1 h; zero means DefaultPoll. It is also the longest pause after a failure. A secret that the source makes active though it
	// was not known before is accepted first, and active after two polls, when the other processes know it.
	Poll time.Duration

	// Keep is how long a secret is accepted here after it was last in use, when the source has it no more: as long
	// as sessions live, so that a source which loses secrets ends none. Those that were active here are in use until
	// another is; of others it is not known, so they are as long as the source lists them. At least 1 s; zero means
	// DefaultKeep, 7 days and 10 minutes, which is enough for every TTL. With all Servers' TTL at 24 h, as it is by default,
	// a day and 10 minutes do, and a secret that leaks later opens less.
	Keep time.Duration

	// Logger is told of rotations (Info), of a source that fails or lacks secrets, once and then hourly (Warn), and that it works
	// again (Info): ids, counts, durations and the source's errors. Nil means none.
	Logger *slog.Logger
}

// validate reports every faulty field at once and returns cfg with its defaults filled in.
func (cfg FollowConfig) validate(source Source) (FollowConfig, error) {
	var wrong faults.List
	if isNil(source) {
		wrong.Add("source is nil; want FileSecrets, DerivedSecrets or one of your own")
	}
	if cfg.Poll != 0 && (cfg.Poll < minPoll || cfg.Poll > maxPoll) {
		wrong.Add("Poll is %v; want from %v to %v, or 0 for %v", cfg.Poll, minPoll, maxPoll, DefaultPoll)
	}
	if cfg.Keep != 0 && cfg.Keep < time.Second {
		wrong.Add("Keep is %v; want at least 1s, or 0 for %v", cfg.Keep, DefaultKeep)
	}
	cfg.Poll, cfg.Keep = orDefault(cfg.Poll, DefaultPoll), orDefault(cfg.Keep, DefaultKeep)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg, wrong.Err("tlscache")
}

var (
	errFollowed = errors.New("tlscache: Keyring follows a source already; want one Follow at a time")
	// What a panic says is not told: it may have a secret in it.
	errSourcePanicked = errors.New("tlscache: the source of secrets panicked")
	errSlow           = fmt.Errorf("tlscache: the source of secrets has not answered within %v", readTimeout)
)

// OpenKeyring returns a Keyring with the secrets that a source has at present, or why it has none. Start Follow after it:
//
//	keys, err := tlscache.OpenKeyring(ctx, source)
//	…
//	go keys.Follow(ctx, source, tlscache.FollowConfig{})
//
// A program that must start although its source fails takes a NewKeyring of a NewSecret instead, of a random id; its sessions
// resume in no other process until Follow has read the source.
func OpenKeyring(ctx context.Context, source Source) (*Keyring, error) {
	if _, err := (FollowConfig{}).validate(source); err != nil {
		return nil, err
	}
	a := (&asker{source: source}).ask(ctx)
	if a.err != nil {
		return nil, a.err
	}
	return NewKeyring(a.active, a.accepted...)
}

// Follow keeps the secrets of the Keyring as the source has them, until ctx ends, and returns the cause of that. It blocks, as a
// server's Serve does, so that the caller knows when it has ended: run it in a goroutine, one for each Keyring. Only
// misuse makes it return earlier, at once: a nil source, a faulty FollowConfig, a Keyring that is followed already. It makes no
// handshake wait.
//
// It asks the source at once and then every Poll. Nothing that the source does or omits ends sessions or the following:
//
//   - While it fails, hangs, panics or has no secrets, the secrets stay as they are, and it is asked again after 1 s, 2 s, 4 s … up to Poll.
//   - A secret that the source has no more, forgotten or lost, is accepted for Keep after it was last in use.
//   - A secret that becomes active without having been known before is accepted for two polls first.
//   - A source that names a secret of a lower id as active, as one does that has lost the newest, is only believed once it has
//     said so for an hour.
//
// Whatever clocks say makes no difference here: what Follow measures is time that passes in this process. To have a secret accepted
// no longer, since it leaked, remove it from the source and Replace or restart.
//
// Stats says how it fares.
func (k *Keyring) Follow(ctx context.Context, source Source, cfg FollowConfig) error {
	cfg, err := cfg.validate(source)
	if err != nil {
		return err
	}
	if k.keys() == nil {
		return errors.New("tlscache: Keyring is a zero one; want NewKeyring or OpenKeyring")
	}
	if !k.following.CompareAndSwap(false, true) {
		return errFollowed
	}
	defer k.following.Store(false)
	f := &follower{keyring: k, cfg: cfg, asker: asker{source: source}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			// Whatever came of it, the timer is set again: nothing else would.
			timer.Reset(f.turn(ctx))
		}
	}
}

// A follower is one Follow. It belongs to its goroutine.
type follower struct {
	keyring *Keyring
	cfg     FollowConfig
	asker   asker
	ledger  ledger

	failed struct { // in a row
		times int
		since time.Time
		said  time.Time
		why   string
	}
}

// turn asks the source once, and returns how long to wait until the next time.
func (f *follower) turn(ctx context.Context) time.Duration {
	a := f.asker.ask(ctx)
	if ctx.Err() != nil {
		return 0 // the error may be that of ctx, which is no failure
	}
	now := time.Now()
	done, err := outcome{}, a.err
	if err == nil {
		done, err = f.keyring.take(&f.ledger, a, f.cfg, now)
	}
	if err == nil {
		err = done.doubt
	}
	f.keyring.noteRead(now, done, err)
	f.tell(now, done, err)
	pause := f.cfg.Poll
	if err != nil {
		f.failed.times++
		pause = min(firstRetry<<min(f.failed.times-1, 16), f.cfg.Poll)
	} else {
		f.failed.times = 0
	}
	return pause - pause/8 + rand.N(pause/4)
}

// tell logs what there is to say. It calls the Logger, which is the user's, under no lock.
func (f *follower) tell(now time.Time, done outcome, err error) {
	log := f.cfg.Logger
	if done.rotated {
		log.Info("tlscache: secrets rotated", "active", done.active, "accepted", done.accepted)
	}
	if n := len(done.lost); n > 0 {
		level := slog.LevelInfo // a source drops former secrets some day
		if done.lost[n-1] >= done.active {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, "tlscache: the source of secrets lacks some, which stay accepted", "secrets", done.lost, "keep", f.cfg.Keep)
	}
	w := &f.failed
	switch {
	case err == nil && w.times > 0:
		log.Info("tlscache: the source of secrets works again", "after", now.Sub(w.since), "failures", w.times)
		w.why = ""
	case err != nil && w.times == 0:
		w.since = now
		fallthrough
	case err != nil && (w.why != err.Error() || now.Sub(w.said) >= sayAgain):
		w.said, w.why = now, err.Error()
		log.Warn("tlscache: the source of secrets fails; those that are there stay", "error", w.why,
			"failures", w.times+1, "since", now.Sub(w.since), "active", f.keyring.active().ID)
	}
}

// An answer is what a source said.
type answer struct {
	active   Secret
	accepted []Secret
	err      error
}

// An asker calls a source, which may be slow or hang, from one goroutine at a time.
type asker struct {
	source Source
	busy   atomic.Bool // a call has not returned
}

// ask calls the source, and gives up when ctx ends or the source is late. No call is made while another has not returned, so that a
// source which ignores its context strands one goroutine and not more.
func (a *asker) ask(ctx context.Context) answer {
	if a.busy.Swap(true) {
		return answer{err: errSlow}
	}
	within, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		got := answer{err: errSlow} // of a source that ends its goroutine
		defer func() {
			a.busy.Store(false)
			answers <- got
		}()
		got.err = guard.Protect(func() (err error) {
			got.active, got.accepted, err = a.source.Secrets(within)
			return err
		})
		if errors.Is(got.err, guard.ErrPanicked) {
			got.err = errSourcePanicked
		}
	}()
	select {
	case got := <-answers:
		if n := 1 + len(got.accepted); got.err == nil && n > secretdir.MaxSecrets {
			got.err = fmt.Errorf("tlscache: the source has %d secrets; want at most %d", n, secretdir.MaxSecrets)
		}
		return got
	case <-within.Done():
		if ctx.Err() != nil {
			return answer{err: context.Cause(ctx)}
		}
		return answer{err: errSlow}
	}
}
