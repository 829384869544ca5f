package sealing

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// testSecret is published: it seals nothing that is in use.
func testSecret(id uint32) Secret {
	s := Secret{ID: id}
	for i := range s.Bytes {
		s.Bytes[i] = byte(int(id) + i)
	}
	return s
}

// setOf returns the keys of some secrets, the first of which is active.
func setOf(t testing.TB, ids ...uint32) *Set {
	t.Helper()
	s, err := (*Set)(nil).Replaced(secretsOf(ids...), 1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func secretsOf(ids ...uint32) (secrets []Secret) {
	for _, id := range ids {
		secrets = append(secrets, testSecret(id))
	}
	return secrets
}

func TestSealedThingsOpenOnlyAsWhatTheyWere(t *testing.T) {
	k := setOf(t, 1, 2)
	salt, bound, plaintext := []byte("handle's id"), []byte("name and scope"), []byte("a session")
	sealed, err := k.Active.Seal(KindRecord, salt, bound, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(sealed) - len(plaintext); got != sealOverhead {
		t.Errorf("sealing adds %d bytes; want %d", got, sealOverhead)
	}
	change := func(i int, to byte) []byte {
		b := bytes.Clone(sealed)
		b[i] = to
		return b
	}
	last := len(sealed) - 1
	for _, tt := range []struct {
		name        string
		what        string
		salt, bound []byte
		sealed      []byte
		want        error
	}{
		{"as it was", KindRecord, salt, bound, sealed, nil},
		{"as something else", KindTicket, salt, bound, sealed, ErrForged},
		{"of another handle", KindRecord, []byte("another id"), bound, sealed, ErrForged},
		{"under another name", KindRecord, salt, []byte("another name"), sealed, ErrForged},
		{"nothing bound", KindRecord, salt, nil, sealed, ErrForged},
		{"another version", KindRecord, salt, bound, change(0, Version+1), ErrVersion},
		{"unknown key", KindRecord, salt, bound, change(1, 9), ErrUnknownKey},
		{"another known key", KindRecord, salt, bound, change(4, 2), ErrForged},
		{"nonce changed", KindRecord, salt, bound, change(sealHeader, ^sealed[sealHeader]), ErrForged},
		{"tag changed", KindRecord, salt, bound, change(last, ^sealed[last]), ErrForged},
		{"cut", KindRecord, salt, bound, sealed[:last], ErrForged},
		{"shorter than any", KindRecord, salt, bound, sealed[:sealOverhead-1], ErrMalformed},
		{"empty", KindRecord, salt, bound, nil, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := k.Open(tt.what, tt.salt, tt.bound, tt.sealed)
			if !errors.Is(err, tt.want) || err == nil && !bytes.Equal(got, plaintext) {
				t.Errorf("openAs: %q, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestSealingTwiceShowsNothingInCommon(t *testing.T) {
	k := setOf(t, 1).Active
	a, err1 := k.Seal(KindRecord, nil, nil, bytes.Repeat([]byte{7}, 64))
	b, err2 := k.Seal(KindRecord, nil, nil, bytes.Repeat([]byte{7}, 64))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if bytes.Equal(a[sealHeader:sealHeader+12], b[sealHeader:sealHeader+12]) || bytes.Equal(a[sealHeader+12:], b[sealHeader+12:]) {
		t.Error("two seals of one plaintext share their nonce or ciphertext")
	}
}

func TestDerivedKeysDifferByPurposeAndSecret(t *testing.T) {
	one, two := setOf(t, 1).Active, setOf(t, 2).Active
	if bytes.Equal(one.seal, one.Export) || bytes.Equal(one.seal, two.seal) {
		t.Error("two derived keys are equal")
	}
	names := map[Name]string{}
	for what, n := range map[string]Name{
		"a":          one.Name("principal", []byte("a")),
		"kind":       one.Name("server", []byte("a")),
		"secret":     two.Name("principal", []byte("a")),
		"two fields": one.Name("principal", []byte("a"), nil),
		"boundaries": one.Name("principal", []byte("ab"), []byte("c")),
		"moved":      one.Name("principal", []byte("a"), []byte("bc")),
	} {
		if other, ok := names[n]; ok {
			t.Errorf("the names %q and %q are equal", what, other)
		}
		names[n] = what
	}
	if one.Name("principal", []byte("a")) != setOf(t, 1).Active.Name("principal", []byte("a")) {
		t.Error("two processes with one secret name a thing differently")
	}
}
