package sealing

import (
	"bytes"
	"errors"
	"testing"
)

func TestHandlesOpenAsTheyWereSealed(t *testing.T) {
	s := setOf(t, 1, 2)
	for _, h := range []Handle{
		{},
		{Flags: FlagTLS13 | FlagSingle, Expires: 1 << 31, Scope: Tag{1}, Server: Tag{2}, ID: [NameSize]byte{3}},
		{Flags: FlagGroup, Group: Name{4}},
	} {
		for _, k := range s.All {
			ticket := h.Seal(k)
			got, under, err := s.OpenHandle(ticket)
			if got != h || under != k || err != nil {
				t.Errorf("OpenHandle = %+v under %v, %v; want %+v", got, under, err, h)
			}
			if bytes.Equal(ticket, h.Seal(k)) {
				t.Error("two tickets of one handle are equal")
			}
			for i := range ticket {
				ticket[i] ^= 1
				if _, _, err := s.OpenHandle(ticket); err == nil {
					t.Errorf("a handle opens that was changed at %d", i)
				}
				ticket[i] ^= 1
			}
		}
	}
	if _, _, err := s.OpenHandle(Handle{}.Seal(setOf(t, 3).Active)); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a handle of a secret that is not in the set: %v; want %v", err, ErrUnknownKey)
	}
}
