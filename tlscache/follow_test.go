package tlscache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A scripted source says what a test lets it say, and notes when it was asked.
type scripted struct {
	mu       sync.Mutex
	active   Secret
	accepted []Secret
	trouble  func(ctx context.Context) error // nil: none
	asked    []time.Time
}

func (s *scripted) Secrets(ctx context.Context) (Secret, []Secret, error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Now())
	trouble := s.trouble
	s.mu.Unlock()
	if trouble != nil {
		if err := trouble(ctx); err != nil {
			return Secret{}, nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active, slices.Clone(s.accepted), nil
}

// says sets the source's secrets, the active one first.
func (s *scripted) says(ids ...uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active, s.accepted = secret(ids[0]), nil
	for _, id := range ids[1:] {
		s.accepted = append(s.accepted, secret(id))
	}
}

func (s *scripted) troubled(how func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble, s.asked = how, nil
}

// set changes the source.
func (s *scripted) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// calls returns when the source was asked since it was last in trouble.
func (s *scripted) calls() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func saying(ids ...uint32) *scripted {
	s := new(scripted)
	s.says(ids...)
	return s
}

// following lets a keyring with the secrets of a source follow it until the test ends.
func following(t *testing.T, source Source, cfg FollowConfig) *Keyring {
	t.Helper()
	k, err := OpenKeyring(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	follow(t, k, source, cfg)
	return k
}

// follow lets a keyring follow a source until the test ends, and waits for its first answer.
func follow(t *testing.T, k *Keyring, source Source, cfg FollowConfig) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Follow(ctx, source, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Follow returned %v; want that its context was cancelled", err)
		}
	})
	synctest.Wait()
}

// wantHeld compares the secrets of a keyring, the active one first and the others in order.
func wantHeld(t *testing.T, what string, k *Keyring, want ...uint32) {
	t.Helper()
	var got []uint32
	for _, keys := range k.keys().All {
		got = append(got, keys.ID)
	}
	slices.Sort(got[1:])
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v; want %v, the first one active", what, got, want)
	}
}

// later lets time pass, so that the source is asked that often.
func later(polls int) {
	time.Sleep(time.Duration(polls) * (DefaultPoll + DefaultPoll/8))
	synctest.Wait()
}

func sourceDown(context.Context) error { return errDown }

func TestTheNextSecretIsAcceptedBeforeItIsActive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := saying(1, 2)
		k := following(t, source, FollowConfig{})
		wantHeld(t, "at first", k, 1, 2)
		later(2)
		source.says(2, 1, 3)
		later(1)
		wantHeld(t, "a secret that was known becomes active at once", k, 2, 1, 3)
		source.says(9, 3, 2, 1)
		later(1)
		wantHeld(t, "one that was not is accepted first", k, 2, 1, 3, 9)
		time.Sleep(DefaultPoll) // 60 s at least since the source said so
		synctest.Wait()
		wantHeld(t, "others may not have asked twice", k, 2, 1, 3, 9)
		later(2)
		wantHeld(t, "everybody knows it", k, 9, 1, 2, 3)
		if st := k.Stats(); st.Rotations != 2 || st.Active != 9 || st.Accepted != 3 || st.Failures != 0 {
			t.Errorf("Stats: %+v; want 2 rotations, to 9", st)
		}
	})
}

// A secret that nobody else has is not waited for, nor is one thrown away under which this process sealed.
func TestTheFirstAnswerCountsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := ring(t, secret(0))
		follow(t, k, saying(7, 8), FollowConfig{})
		wantHeld(t, "after the first answer", k, 7, 0, 8)
	})
}

func TestASecretThatTheSourceLosesIsKeptForAsLongAsSessionsLive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const keep = 24 * time.Hour
		source := saying(2, 1, 3)
		k := following(t, source, FollowConfig{Keep: keep})
		source.says(2)
		later(1)
		wantHeld(t, "lost", k, 2, 1, 3)
		if st := k.Stats(); st.Missing != 2 {
			t.Errorf("%d secrets are missing by Stats; want 2", st.Missing)
		}
		time.Sleep(keep - 2*DefaultPoll)
		wantHeld(t, "for as long as sessions live", k, 2, 1, 3)
		time.Sleep(4 * DefaultPoll)
		wantHeld(t, "after that", k, 2)
		if st := k.Stats(); st.Missing != 0 {
			t.Errorf("%d secrets are missing by Stats; want 0", st.Missing)
		}
	})
}

// A secret that was active here is former from when another became active, so it goes with the source when
// its sessions are over, and not a life later.
func TestAFormerSecretGoesWhenItsSessionsAreOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const keep = 24 * time.Hour
		source := saying(1, 2)
		k := following(t, source, FollowConfig{Keep: keep})
		later(3)
		source.says(2, 1, 3)
		later(1)
		time.Sleep(keep - 3*DefaultPoll)
		source.says(2, 3)
		later(1)
		source.says(2, 1, 3)
		time.Sleep(5 * DefaultPoll)
		source.says(2, 3)
		later(1)
		wantHeld(t, "a life after it was active", k, 2, 3)
	})
}

func TestASourceThatFailsLeavesTheSecretsAndIsAskedForEver(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trouble func(s *scripted)
		want    string // in the error
	}{
		{"an error", func(s *scripted) { s.troubled(sourceDown) }, errDown.Error()},
		{"a panic", func(s *scripted) { s.troubled(func(context.Context) error { panic("a key") }) }, "panicked"},
		{"slow", func(s *scripted) {
			s.troubled(func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Millisecond); return ctx.Err() })
		}, "has not answered within 10s"},
		{"no secret", func(s *scripted) { s.set(func() { s.active, s.accepted = Secret{ID: 3}, nil }) }, "secret 3 is all zero"},
		{"half a secret", func(s *scripted) { s.set(func() { s.active.Bytes, s.accepted = [SecretSize]byte{1}, nil }) }, "the id 1 was another secret's"},
		{"too many", func(s *scripted) { s.set(func() { s.accepted = make([]Secret, 64) }) }, "has 65 secrets; want at most 64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				source := saying(1, 2)
				k := following(t, source, FollowConfig{})
				later(3)
				set := k.keys()
				before := k.Stats()
				tt.trouble(source)
				time.Sleep(3 * 24 * time.Hour)
				if k.keys() != set {
					t.Error("the secrets changed")
				}
				st := k.Stats()
				if st.Failures < 3*24*60 || st.Reads != before.Reads || !strings.Contains(st.Failure, tt.want) || st.FailingFor < 3*24*time.Hour-time.Minute || st.ReadAge < st.FailingFor {
					t.Errorf("Stats after three days: %+v", st)
				}
				source.troubled(nil)
				source.says(2, 1, 3)
				later(2)
				wantHeld(t, "it works again", k, 2, 1, 3)
				if st := k.Stats(); st.FailingFor != 0 || st.Failure != "" || st.ReadAge > 2*DefaultPoll {
					t.Errorf("Stats when it works again: %+v", st)
				}
			})
		})
	}
}

func TestASourceThatFailsIsAskedSoonAndThenLessOften(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := saying(1)
		following(t, source, FollowConfig{})
		source.troubled(sourceDown)
		time.Sleep(10 * time.Minute)
		asked := source.calls()
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
			want *= time.Second
			got := asked[i+1].Sub(asked[i])
			if got < want-want/8 || got > want+want/8 {
				t.Errorf("pause %d is %v; want %v, give or take an eighth", i, got, want)
			}
		}
	})
}

// A call that ignores its context strands one goroutine, however long it takes.
func TestASourceThatHangsIsNotAskedTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := saying(1, 2)
		k := following(t, source, FollowConfig{})
		later(3)
		released := make(chan struct{})
		source.troubled(func(context.Context) error { <-released; return errDown })
		time.Sleep(24 * time.Hour)
		if n := len(source.calls()); n != 1 {
			t.Errorf("a source that hangs was asked %d times; want once", n)
		}
		if st := k.Stats(); !strings.Contains(st.Failure, "has not answered") {
			t.Errorf("Stats: %+v; want that it has not answered", st)
		}
		source.troubled(nil)
		source.says(2, 1)
		close(released)
		later(2)
		wantHeld(t, "it answers again", k, 2, 1)
	})
}

// A directory that lost its newest files names an older secret as active, in which nobody should seal because of a mistake.
// But what a wrong clock made active must not stay so.
func TestATruncatedSourceIsBelievedAfterAnHour(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := saying(7, 5, 6, 8)
		k := following(t, source, FollowConfig{})
		source.says(5, 6)
		later(1)
		wantHeld(t, "truncated", k, 7, 5, 6, 8)
		if st := k.Stats(); !strings.Contains(st.Failure, "names an older secret, 5, as active than 7") || st.Missing != 2 {
			t.Errorf("Stats: %+v; want what the source lacks", st)
		}
		source.says(7, 5, 6, 8)
		later(1)
		if st := k.Stats(); st.Failure != "" {
			t.Errorf("Stats when it was mended: %+v", st)
		}
		source.says(5, 6)
		time.Sleep(believeAfter - time.Minute)
		wantHeld(t, "for an hour", k, 7, 5, 6, 8)
		time.Sleep(2 * time.Minute)
		wantHeld(t, "after an hour", k, 5, 6, 7, 8)
		if st := k.Stats(); st.Failure != "" {
			t.Errorf("Stats after an hour: %+v; want no failure", st)
		}
	})
}

func TestASecretThatWasReplacedIsGoneThoughFollowed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := saying(1, 2, 3)
		k := following(t, source, FollowConfig{})
		later(3)
		source.says(2, 3)
		if err := k.Replace(secret(2), secret(3)); err != nil { // 1 leaked
			t.Fatal(err)
		}
		later(2)
		wantHeld(t, "after Replace", k, 2, 3)
	})
}

func TestAKeyringHoldsABoundedNumberOfSecrets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := saying(0, 1)
		k := following(t, source, FollowConfig{})
		for id := range uint32(3 * maxHeld) {
			source.says(id+1, id+2)
			later(1)
		}
		all := k.keys().All
		if len(all) != maxHeld || k.find(3*maxHeld-100) == nil || k.find(5) != nil {
			t.Errorf("%d secrets, 5 is %v; want %d, those used last", len(all), k.find(5), maxHeld)
		}
	})
}

func TestFollowEndsWithItsContextWhateverTheSourceDoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		why := errors.New("shutting down")
		released := make(chan struct{})
		defer close(released)
		for name, trouble := range map[string]func(context.Context) error{
			"works": nil, "fails": sourceDown, "hangs": func(context.Context) error { <-released; return nil },
		} {
			source := saying(1)
			source.troubled(trouble)
			ctx, cancel := context.WithCancelCause(t.Context())
			ended := make(chan error, 1)
			k := ring(t, secret(1))
			go func() { ended <- k.Follow(ctx, source, FollowConfig{}) }()
			time.Sleep(3 * time.Second)
			if !k.Stats().Following {
				t.Errorf("%s: Stats says that nothing is followed", name)
			}
			cancel(why)
			synctest.Wait()
			select {
			case err := <-ended:
				if !errors.Is(err, why) {
					t.Errorf("%s: Follow returned %v; want %v", name, err, why)
				}
			default:
				t.Fatalf("%s: Follow goes on", name)
			}
			if k.Stats().Following {
				t.Errorf("%s: Stats says that something is followed", name)
			}
		}
	})
}

func TestMisuseOfFollowIsAnErrorAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		k := following(t, saying(1), FollowConfig{})
		for _, tt := range []struct {
			name   string
			k      *Keyring
			source Source
			cfg    FollowConfig
			want   string
		}{
			{"no source", k, nil, FollowConfig{}, "source is nil"},
			{"a nil source", k, (*scripted)(nil), FollowConfig{}, "source is nil"},
			{"a second source", k, saying(1), FollowConfig{}, "follows a source already"},
			{"a zero Keyring", new(Keyring), saying(1), FollowConfig{}, "Keyring is a zero one"},
			{"every fault", k, nil, FollowConfig{Poll: -1, Keep: -1}, "source is nil; want FileSecrets, DerivedSecrets or one of your own; Poll is -1ns; want from 100ms to 1h0m0s, or 0 for 30s; Keep is -1ns; want at least 1s"},
			{"too seldom", k, saying(1), FollowConfig{Poll: maxPoll + 1}, "Poll is 1h0m0.000000001s"},
			{"too often", k, saying(1), FollowConfig{Poll: minPoll - 1}, "Poll is 99.999999ms"},
		} {
			if err := tt.k.Follow(t.Context(), tt.source, tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
			}
		}
		for source, want := range map[Source]string{nil: "source is nil", &scripted{trouble: sourceDown}: errDown.Error()} {
			if k, err := OpenKeyring(t.Context(), source); k != nil || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("OpenKeyring: %v, %v; want %q", k, err, want)
			}
		}
		if st := new(Keyring).Stats(); st != (KeyringStats{}) {
			t.Errorf("Stats of a zero Keyring: %+v", st)
		}
	})
}

// A logBuffer is what was logged since it was last taken.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

func TestTheLogTellsWhatHappensOnceAndNoSecret(t *testing.T) {
	bubble(t, func(t *testing.T) {
		log := new(logBuffer)
		source := saying(1, 2)
		following(t, source, FollowConfig{Logger: slog.New(slog.NewTextHandler(log, nil))})
		later(3)
		wantLog := func(what string, lines ...string) {
			t.Helper()
			synctest.Wait()
			said := log.take()
			got := slices.Collect(strings.Lines(said))
			ok := len(got) == len(lines)
			for i := range lines {
				ok = ok && strings.Contains(got[i], lines[i])
			}
			if !ok {
				t.Errorf("%s: the log is %s; want %q", what, said, lines)
			}
			for _, id := range []uint32{1, 2, 3} {
				if s := secret(id); strings.Contains(said, fmt.Sprintf("%x", s.Bytes[:4])) || strings.Contains(said, string(s.Bytes[:4])) {
					t.Errorf("%s: secret %d is in the log: %s", what, id, said)
				}
			}
		}
		wantLog("nothing happens")
		source.says(2, 1, 3)
		later(1)
		wantLog("a rotation", `level=INFO msg="tlscache: secrets rotated" active=2 accepted=2`)
		source.troubled(sourceDown)
		time.Sleep(50 * time.Minute)
		wantLog("a failure", `level=WARN msg="tlscache: the source of secrets fails; those that are there stay" error="store is down" failures=1`)
		time.Sleep(20 * time.Minute)
		wantLog("an hour of it", `level=WARN msg="tlscache: the source of secrets fails; those that are there stay" error="store is down" failures=`)
		source.troubled(nil)
		later(2)
		wantLog("its end", `level=INFO msg="tlscache: the source of secrets works again" after=1h`)
		source.says(2, 3)
		later(2)
		wantLog("a former secret goes", `level=INFO msg="tlscache: the source of secrets lacks some, which stay accepted" secrets=[1]`)
		source.says(2)
		later(2)
		wantLog("the next one is lost", `level=WARN msg="tlscache: the source of secrets lacks some, which stay accepted" secrets=[3]`)
	})
}
