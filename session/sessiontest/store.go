package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// checks are all promises, in the order of the interfaces.
var checks = []check{
	{name: "OTPFlow", store: otpFlow},
	{name: "AbsentIsErrNotFound", store: absent},
	{name: "UpdateReplaces", store: replaces},
	{name: "AnySessionBytes", store: anySession},
	{name: "AnyKeyBytes", store: anyKey},
	{name: "DeleteIsIdempotent", store: deleteTwice},
	{name: "TakeRemoves", store: takeRemoves},
	{name: "UpdateCopiesTheSession", store: copiesIn},
	{name: "ReturnedSessionsAreTheCallers", store: copiesOut},
	{name: "BadTTLIsRefused", store: badTTL},
	{name: "HugeTTLsDoNotOverflow", store: hugeTTL},
	{name: "SessionsLiveUntilTheirTTL", store: livesUntil},
	{name: "ExpiredIsNeverReturned", store: expires},
	{name: "UpdateBeginsTheTTLAnew", store: resetsTTL},
	{name: "DoneContextsDoNothing", store: doneContext},
	{name: "ClosedIsErrClosed", store: closed},
	{name: "CloseWithCallersInside", store: closeUnderLoad},
	{name: "TakeHasOneWinner", store: takeOnce},
	{name: "TakeIsOneStep", store: takeFought, chance: true},
	{name: "ReadsAreLinearizable", store: linearizable},
	{name: "CallsWithinCallsAreLinearizable", store: interleaved},
	{name: "WritersOfOtherKeysUndoNothing", store: ownersKeep, chance: true},
	{name: "KeysStayApart", store: keysApart},
	{name: "RemovedIsRemovedEverywhere", store: removedEverywhere},
	{name: "UseProlongsNothing", store: useProlongsNothing},
	{name: "AnyTTL", store: anyTTL},
	{name: "BuffersStayApart", store: buffersApart},
	{name: "ContextsEndWithTheirCalls", store: contextsEnd},
	{name: "CloseLeavesNoGoroutine", opens: closeLeaves},
	{name: "OptionalMethodsFit", store: optionalFit},

	{name: "OTPUniqueSession", indexed: otpUnique},
	{name: "OTPSessionCleanup", indexed: otpCleanup},
	{name: "OTPReuse", indexed: otpReuse},
	{name: "SelectSessionIsNewestFirst", indexed: newestFirst},
	{name: "SelectSessionHonoursLimit", indexed: limit},
	{name: "SelectSessionMatchesThePartialKeyOnly", indexed: exactPartial},
	{name: "EntriesSayWhenTheyExpire", indexed: entriesExpire},
	{name: "EntriesAreTheCallers", indexed: entriesCopied},
	{name: "IndexNeverReturnsExpired", indexed: indexExpires},
	{name: "TakeNewestTakesTheNewest", indexed: takesNewest},
	{name: "TakeNewestKeepsTheLast", indexed: keepsLast},
	{name: "TakeNewestHandsOutOnce", indexed: takeNewestOnce},
	{name: "TakeNewestIsOneStep", indexed: takeNewestFought, chance: true},
	{name: "TakeNewestWithinCalls", indexed: indexInterleaved},
	{name: "TheLastIsNotProlonged", indexed: lastProlongsNothing},
	{name: "PartialKeysStayApart", indexed: partialsApart},
	{name: "EntriesAreExact", indexed: entriesExact},
	{name: "AnyLimit", indexed: limitsAny},
	{name: "DeletePartialRemovesAll", indexed: deletePartial},
	{name: "AllYieldsEachOnce", indexed: allOnce},
	{name: "AllMayChangeTheStore", indexed: allChanges},
	{name: "IndexAgreesWithLookup", indexed: indexAgrees},
	{name: "IndexDoneContextsDoNothing", indexed: indexDoneContext},
	{name: "IndexClosedIsErrClosed", indexed: indexClosed},

	{name: "LocalIsTheSameStore", local: localSame},
	{name: "LiveSessionsHaveBytes", local: localBytes},
	{name: "TakeLocalIsOneStep", local: takeLocalFought, chance: true},
}

// key returns one of the plain keys that most checks use.
func key(partial string, id int) session.Key {
	return session.Key{Partial: partial, ID: fmt.Sprintf("%032x", id)}
}

// otpFlow is what OTP's ssl_session_cache_api_SUITE does with each of its stores.
func otpFlow(t *tester) {
	size := func(want int) {
		t.Helper()
		if s, ok := t.store.(session.Indexed); ok {
			if n, err := s.Size(t.ctx); n != want || err != nil {
				t.Errorf("Size() = %d, %v; want %d", n, err, want)
			}
		}
	}
	first, second := key("host:443", 1), key("host:443", 2)
	t.wantAbsent(first, "in a new store")
	size(0)
	t.update(first, "one", ttl)
	t.update(second, "two", ttl)
	t.wantFound(first, "one", "after both Updates")
	t.wantFound(second, "two", "after both Updates")
	if err := t.store.Delete(t.ctx, second); err != nil {
		t.Errorf("Delete() = %v; want nil", err)
	}
	t.wantAbsent(second, "after its Delete")
	t.wantFound(first, "one", "after Delete of another")
	size(1)
	if err := t.store.Close(); err != nil {
		t.Errorf("Close() = %v; want nil", err)
	}
}

func absent(t *tester) {
	t.update(key("host", 1), "one", ttl)
	for _, k := range []session.Key{key("host", 2), key("other", 1), {}} {
		t.wantAbsent(k, "never stored")
		got, err := t.store.Take(t.ctx, k)
		t.wantMiss(got, err, fmt.Sprintf("Take(%s), which was never stored,", show(k)))
	}
}

func replaces(t *tester) {
	for i := range 3 {
		t.update(key("host", 1), fmt.Sprint(i), ttl)
		t.wantFound(key("host", 1), fmt.Sprint(i), "after Update of a key that may have a session")
	}
	if got, err := t.store.Take(t.ctx, key("host", 1)); err != nil || string(got) != "2" {
		t.Errorf("Take() after three Updates = %s, %v; want the last", brief(string(got)), err)
	}
	t.wantAbsent(key("host", 1), "after three Updates and one Take")
}

// anyBytes are sessions that something on their way may change: a codec, a column, a trim.
func anyBytes() []string {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	return []string{
		"", "\x00", "\r\n", "\xff\xfe", " s ", "s\n", "\ns", "s\x00", "\x00s", "s\r\ns\rs", "null", "\"s\"", "{}", "<&>", "%00", "\\n", "c2Vzc2lvbg==",
		"\x1f\x8b\x08\x00s", "\xef\xbb\xbfs", "e\u0301", "\u2028", "1.0", "007", "SESSION", "'; --", "$1", string(every),
		strings.Repeat("s", session.DefaultMaxSessionSize),
	}
}

func anySession(t *tester) {
	for _, s := range anyBytes() {
		t.update(key("host", len(s)), s, ttl)
		t.wantFound(key("host", len(s)), s, "a session of any bytes, up to 16 KiB")
		if got, err := t.store.Take(t.ctx, key("host", len(s))); err != nil || string(got) != s {
			t.Errorf("Take() = %s, %v; want %s: a session of any bytes, up to 16 KiB", brief(string(got)), err, brief(s))
		}
	}
	huge := strings.Repeat("h", 1<<20)
	t.update(key("host", 0), "", ttl)
	switch err := t.store.Update(t.ctx, key("host", 0), []byte(huge), ttl); {
	case err == nil:
		t.wantFound(key("host", 0), huge, "a session of 1 MiB that was accepted")
	case errors.Is(err, session.ErrTooLarge):
		t.wantFound(key("host", 0), "", "the session before one that was too large")
	default:
		t.Errorf("Update of 1 MiB = %v; want nil, or an error that is session.ErrTooLarge", err)
	}
}

// hostileKeys are distinct, and look alike to a Store that joins, cuts, cleans or matches keys.
func hostileKeys() []session.Key {
	long := strings.Repeat("k", 64<<10)
	return []session.Key{
		{}, {Partial: "a"}, {ID: "a"}, {Partial: "a", ID: "b"}, {Partial: "ab"}, {ID: "ab"},
		{Partial: "a", ID: "\x00b"}, {Partial: "a\x00", ID: "b"}, {Partial: "a\x00b"}, {Partial: "a:", ID: "b"},
		{Partial: "a", ID: ":b"}, {Partial: "A", ID: "b"}, {Partial: "a", ID: "b "}, {Partial: "a", ID: "b\n"},
		{Partial: "*", ID: "b"}, {Partial: "?", ID: "b"}, {Partial: "a", ID: "*"}, {Partial: "[a]", ID: "b"},
		{Partial: "{a}", ID: "b"}, {Partial: "a/../a", ID: "b"}, {Partial: "\xff", ID: "b"}, {Partial: "\xfe", ID: "b"},
		{Partial: "%61", ID: "b"}, {Partial: long, ID: "b"}, {Partial: "a", ID: long}, {Partial: long, ID: long},
		{Partial: "a", ID: long[:len(long)-1]},
	}
}

func anyKey(t *tester) {
	keys := hostileKeys()
	for i, k := range keys {
		t.update(k, fmt.Sprint("session ", i), ttl)
	}
	for i, k := range keys {
		t.wantFound(k, fmt.Sprint("session ", i), "any bytes may be a key")
	}
	for i, k := range keys {
		if err := t.store.Delete(t.ctx, k); err != nil {
			t.Errorf("Delete(%s) = %v; want nil", show(k), err)
		}
		t.wantAbsent(k, "after its Delete")
		if i+1 < len(keys) {
			t.wantFound(keys[i+1], fmt.Sprint("session ", i+1), "after Delete of a key that looks alike")
		}
	}
	tooLong := session.Key{ID: strings.Repeat("k", 64<<10+1)}
	if err := t.store.Update(t.ctx, tooLong, nil, ttl); err != nil && !errors.Is(err, session.ErrKeyTooLong) {
		t.Errorf("Update with an id of more than 64 KiB = %v; want nil, or an error that is session.ErrKeyTooLong", err)
	}
}

func deleteTwice(t *tester) {
	k := key("host", 1)
	t.update(k, "one", ttl)
	for _, when := range []string{"of a session", "of one that is gone", "of one that is gone"} {
		if err := t.store.Delete(t.ctx, k); err != nil {
			t.Errorf("Delete %s = %v; want nil", when, err)
		}
	}
	t.update(k, "two", ttl)
	t.wantFound(k, "two", "stored again after its Delete")
}

func takeRemoves(t *tester) {
	k := key("host", 1)
	t.update(k, "one", ttl)
	t.update(key("host", 2), "two", ttl)
	if got, err := t.store.Take(t.ctx, k); err != nil || string(got) != "one" {
		t.Errorf("Take() = %s, %v; want %q", brief(string(got)), err, "one")
	}
	t.wantAbsent(k, "after its Take")
	got, err := t.store.Take(t.ctx, k)
	t.wantMiss(got, err, "second Take()")
	t.wantFound(key("host", 2), "two", "after Take of another")
}

func copiesIn(t *tester) {
	mine := []byte("mine")
	if err := t.store.Update(t.ctx, key("host", 1), mine, ttl); err != nil {
		t.Fatal(err)
	}
	copy(mine, "XXXX")
	t.wantFound(key("host", 1), "mine", "after the caller wrote to the slice that Update got")
}

func copiesOut(t *tester) {
	k := key("host", 1)
	t.update(k, "mine", ttl)
	read := func(call string, f func(context.Context, session.Key) ([]byte, error)) []byte {
		got, err := f(t.ctx, k)
		if err != nil || string(got) != "mine" {
			t.Fatalf("%s() = %s, %v; want %q", call, brief(string(got)), err, "mine")
		}
		return got
	}
	first := read("Lookup", t.store.Lookup)
	copy(first, "XXXX")
	t.wantFound(k, "mine", "after the caller wrote to what Lookup returned")
	first = read("Lookup", t.store.Lookup)
	copy(read("Take", t.store.Take), "XXXX")
	if string(first) != "mine" {
		t.Errorf("what Lookup returned is %s after another caller wrote to what Take returned; want its own copy", brief(string(first)))
	}
}

func badTTL(t *tester) {
	k := key("host", 1)
	t.update(k, "old", ttl)
	for _, life := range []time.Duration{0, -1, -time.Hour, math.MinInt64} {
		if err := t.store.Update(t.ctx, k, []byte("new"), life); !errors.Is(err, session.ErrBadTTL) {
			t.Errorf("Update with a TTL of %v = %v; want an error that is session.ErrBadTTL", life, err)
		}
		t.wantFound(k, "old", "after an Update that was refused")
	}
}

func hugeTTL(t *tester) {
	for i, life := range []time.Duration{7 * 24 * time.Hour, 1000 * 24 * time.Hour, math.MaxInt64 / 2, math.MaxInt64} {
		t.update(key("host", i), "long-lived", life)
		t.wantFound(key("host", i), "long-lived", fmt.Sprintf("stored for %v", life))
	}
}

func livesUntil(t *tester) {
	k := key("host", 1)
	began := time.Now()
	t.update(k, "one", short)
	for {
		_, err := t.store.Lookup(t.ctx, k)
		took := time.Since(began)
		switch {
		case errors.Is(err, session.ErrNotFound):
			if took < short-grain {
				t.Errorf("Lookup() = %v within %v of Update with a TTL of %v; want the session", err, took, short)
			}
			return
		case err != nil:
			t.Fatalf("Lookup() = %v", err)
		case took > short+patience/2:
			return // expires tells
		}
		t.pause(short / 50)
	}
}

// outlive stores sessions for a short time and waits until that is over.
func (t *tester) outlive(keys ...session.Key) {
	for _, k := range keys {
		t.update(k, "short-lived", short)
	}
	t.pause(short + grain)
}

func expires(t *tester) {
	keys := []session.Key{key("host", 1), key("host", 2)}
	t.outlive(keys...)
	t.wantAbsent(keys[0], fmt.Sprintf("%v after Update with a TTL of %v returned", short+grain, short))
	got, err := t.store.Take(t.ctx, keys[1])
	t.wantMiss(got, err, "Take() after the session's TTL")
}

func resetsTTL(t *tester) {
	longer, shorter := key("host", 1), key("host", 2)
	t.update(longer, "old", short)
	t.update(longer, "new", ttl)
	t.update(shorter, "old", ttl)
	t.update(shorter, "new", short)
	t.pause(short + grain)
	t.wantFound(longer, "new", "when the TTL of the session that it replaced is over")
	t.wantAbsent(shorter, "when its own TTL is over, that of the session that it replaced not")
}

// A call is one method, applied to the plain key.
type call struct {
	name string
	do   func(ctx context.Context, k session.Key) error
}

func (t *tester) calls() []call {
	s := t.store
	return []call{
		{"Lookup", func(ctx context.Context, k session.Key) error { _, err := s.Lookup(ctx, k); return err }},
		{"Take", func(ctx context.Context, k session.Key) error { _, err := s.Take(ctx, k); return err }},
		{"Update", func(ctx context.Context, k session.Key) error { return s.Update(ctx, k, []byte("new"), ttl) }},
		{"Delete", func(ctx context.Context, k session.Key) error { return s.Delete(ctx, k) }},
	}
}

// wantDone checks that calls with contexts that are done return their errors and change nothing.
func (t *tester) wantDone(calls []call) {
	cancelled, cancel := context.WithCancel(t.ctx)
	cancel()
	late, cancel := context.WithDeadline(t.ctx, time.Unix(1, 0))
	defer cancel()
	k := key("host", 1)
	t.update(k, "old", ttl)
	for _, c := range calls {
		for ctx, want := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
			if err := c.do(ctx, k); !errors.Is(err, want) {
				t.Errorf("%s with a context that is done = %v; want an error that is its own: %v", c.name, err, want)
			}
		}
		t.wantFound(k, "old", "after "+c.name+" with a context that is done")
	}
}

func doneContext(t *tester) { t.wantDone(t.calls()) }

// wantClosed checks that calls after Close return ErrClosed, and that Close may be repeated.
func (t *tester) wantClosed(calls []call) {
	t.update(key("host", 1), "old", ttl)
	for range 2 {
		if err := t.store.Close(); err != nil {
			t.Errorf("Close() = %v; want nil, also the second time", err)
		}
		for _, c := range calls {
			if err := c.do(t.ctx, key("host", 1)); !errors.Is(err, session.ErrClosed) {
				t.Errorf("%s after Close = %v; want session.ErrClosed", c.name, err)
			}
		}
	}
}

func closed(t *tester) { t.wantClosed(t.calls()) }
