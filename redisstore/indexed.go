package redisstore

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessioncache/sessioncache/session"
)

// deadPage is how many ids of expired sessions a script passes over at most, and drops.
const deadPage = 4 * scriptPage

// SelectSession returns the sessions of a partial key, newest first. Beyond 256 sessions, or 1 MiB of them, it makes
// one more round trip for each as many. It may return more than a caller wants to hold: give a limit.
func (s *Store) SelectSession(ctx context.Context, partial string, limit int) ([]session.Entry, error) {
	if err := s.ready(ctx, partial); err != nil {
		return nil, absent(err, nil)
	}
	if s.cfg.NoScripts {
		return nil, ErrNoScripts
	}
	n := s.nameOf(partial)
	var all []session.Entry
	for from := "+inf"; ; {
		want := scriptPage
		if limit > 0 {
			want = min(want, limit-len(all))
		}
		answer, err := s.run(ctx, &selectScript, []string{n.index},
			n.head, from, strconv.Itoa(want), strconv.Itoa(pageBytes), strconv.Itoa(deadPage))
		if err != nil {
			return nil, err
		}
		page, next, err := entries(partial, want, answer)
		if err != nil {
			return nil, err
		}
		if all = append(all, page...); next == "" || limit > 0 && len(all) >= limit {
			return all, nil
		}
		if next == from {
			return nil, ErrProtocol // it would go on for ever
		}
		from = next
	}
}

// entries returns what the answer of selectScript has, which is at most so many.
func entries(partial string, most int, answer rueidis.RedisMessage) (page []session.Entry, next string, err error) {
	parts, err := answer.ToArray()
	if err != nil || len(parts)%3 != 1 || len(parts) > 1+3*most {
		return nil, "", ErrProtocol
	}
	if next, err = parts[0].ToString(); err != nil {
		return nil, "", ErrProtocol
	}
	now := time.Now()
	for rest := parts[1:]; len(rest) > 0; rest = rest[3:] {
		e, err := entry(partial, rest, now)
		if err != nil {
			return nil, "", err
		}
		page = append(page, e)
	}
	return page, next, nil
}

// entry makes an Entry of an id, a session and the milliseconds that are left of it. The end of its life is told
// by our clock, from a time left by the server's: so it does not matter how far they are apart.
func entry(partial string, parts []rueidis.RedisMessage, now time.Time) (session.Entry, error) {
	id, errID := parts[0].ToString()
	b, errBytes := found(parts[1], nil)
	left, errLeft := parts[2].ToInt64()
	if errID != nil || errBytes != nil || errLeft != nil {
		return session.Entry{}, ErrProtocol
	}
	return session.Entry{
		Key:     session.Key{Partial: partial, ID: id},
		Session: b,
		Expires: now.Add(life(left)),
	}, nil
}

// life returns what is left of a session by the server's word, which may be anything.
func life(ms int64) time.Duration {
	return time.Duration(min(max(ms, 0), session.MaxTTL.Milliseconds())) * time.Millisecond
}

// TakeNewest returns the newest session of a partial key and removes it, or keeps it as the last. A TakeNewest whose
// context ended may have taken the session.
func (s *Store) TakeNewest(ctx context.Context, partial string, keepLast bool) (session.Entry, error) {
	if err := s.ready(ctx, partial); err != nil {
		return session.Entry{}, err
	}
	if s.cfg.NoScripts {
		return session.Entry{}, ErrNoScripts
	}
	n := s.nameOf(partial)
	keep := "0"
	if keepLast {
		keep = "1"
	}
	for {
		answer, err := s.run(ctx, &takeNewestScript, []string{n.index}, n.head, keep, strconv.Itoa(deadPage))
		if err != nil {
			return session.Entry{}, err
		}
		parts, err := answer.ToArray()
		if err != nil || len(parts) == 0 {
			return session.Entry{}, ErrProtocol
		}
		what, err := parts[0].ToInt64()
		switch {
		case err == nil && what == 0:
			return session.Entry{}, session.ErrNotFound
		case err == nil && what == 1 && len(parts) == 4:
			return entry(partial, parts[1:], time.Now())
		case err != nil || what != 2: // 2: all that it looked at had expired, and is gone from the index now
			return session.Entry{}, ErrProtocol
		}
	}
}

// DeletePartial removes all sessions of a partial key, 256 in a round trip, and returns how many there were. With
// an error it returns how many it had removed. Sessions that are stored meanwhile stay.
func (s *Store) DeletePartial(ctx context.Context, partial string) (int, error) {
	if err := s.ready(ctx, partial); err != nil {
		return 0, absent(err, nil)
	}
	if s.cfg.NoScripts {
		return 0, ErrNoScripts
	}
	n := s.nameOf(partial)
	removed := 0
	for top := ""; ; {
		answer, err := s.run(ctx, &deletePartialScript, []string{n.index}, n.head, top, strconv.Itoa(scriptPage))
		if err != nil {
			return removed, err
		}
		parts, err := answer.ToArray()
		if err != nil || len(parts) != 2 {
			return removed, ErrProtocol
		}
		gone, errGone := parts[0].ToInt64()
		next, errNext := parts[1].ToString()
		if errGone != nil || errNext != nil {
			return removed, ErrProtocol
		}
		removed += int(gone)
		if top = next; top == "" {
			return removed, nil
		}
	}
}
