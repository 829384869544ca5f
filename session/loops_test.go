package session_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// An endingContext is cancelled once Err has been asked so often.
type endingContext struct {
	context.Context
	asked, ends int
}

func (c *endingContext) Err() error {
	if c.asked++; c.asked > c.ends {
		return context.Canceled
	}
	return nil
}

// manySessions returns a Memory with n sessions of one partial key.
func manySessions(t *testing.T, n int) *session.Memory {
	t.Helper()
	m := open(t, session.MemoryConfig{})
	for i := range n {
		if err := m.Update(context.Background(), session.Key{Partial: "p", ID: fmt.Sprint(i)}, []byte{1}, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// A loop over sessions ends soon after its context does, wherever that is.
func TestLoopsOverSessionsEndWithTheirContext(t *testing.T) {
	const n = 300
	m := manySessions(t, n)
	for _, ends := range []int{1, 2, 3, n / 2, n - 1} {
		ctx := &endingContext{Context: context.Background(), ends: ends}
		if entries, err := m.SelectSession(ctx, "p", 0); !errors.Is(err, context.Canceled) || entries != nil || ctx.asked > ends+2 {
			t.Errorf("context that ends at question %d: SelectSession() = %d sessions, %v after %d", ends, len(entries), err, ctx.asked)
		}
		ctx = &endingContext{Context: context.Background(), ends: ends}
		seen, last := 0, error(nil)
		for _, err := range m.All(ctx) {
			if last = err; err == nil {
				seen++
			}
		}
		if !errors.Is(last, context.Canceled) || seen > ends {
			t.Errorf("context that ends at question %d: All yields %d sessions and ends with %v", ends, seen, last)
		}
	}
}

// SelectSession returns all, newest first, or as many as its limit says, not one less.
func TestSelectSessionReturnsAllOrItsLimit(t *testing.T) {
	const n = 1000
	m := manySessions(t, n)
	for _, limit := range []int{0, 1, 2, 7, 255, 256, 257, n - 1, n, n + 1} {
		entries, err := m.SelectSession(context.Background(), "p", limit)
		want := n
		if limit > 0 {
			want = min(limit, n)
		}
		if err != nil || len(entries) != want {
			t.Errorf("SelectSession(limit %d) = %d sessions, %v; want %d", limit, len(entries), err, want)
			continue
		}
		for i, e := range entries {
			if want := fmt.Sprint(n - 1 - i); e.Key.ID != want {
				t.Fatalf("SelectSession(limit %d)[%d] = %s; want %s, for newest come first", limit, i, e.Key.ID, want)
			}
		}
	}
	seen := 0
	for _, err := range m.All(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
	}
	if seen != n {
		t.Errorf("All yields %d sessions; want %d", seen, n)
	}
}
