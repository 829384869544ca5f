package tlscache

import (
	"bytes"
	"errors"
	"testing"
)

func TestSealedThingsOpenOnlyAsWhatTheyWere(t *testing.T) {
	k := ring(t, secret(1), secret(2))
	salt, bound, plaintext := []byte("handle's id"), []byte("name and scope"), []byte("a session")
	sealed, err := k.active().sealAs(sealRecord, salt, bound, plaintext)
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
		{"as it was", sealRecord, salt, bound, sealed, nil},
		{"as something else", sealTicket, salt, bound, sealed, errForged},
		{"of another handle", sealRecord, []byte("another id"), bound, sealed, errForged},
		{"under another name", sealRecord, salt, []byte("another name"), sealed, errForged},
		{"nothing bound", sealRecord, salt, nil, sealed, errForged},
		{"another version", sealRecord, salt, bound, change(0, sealVersion+1), errVersion},
		{"unknown key", sealRecord, salt, bound, change(1, 9), errUnknownKey},
		{"another known key", sealRecord, salt, bound, change(4, 2), errForged},
		{"nonce changed", sealRecord, salt, bound, change(sealHeader, ^sealed[sealHeader]), errForged},
		{"tag changed", sealRecord, salt, bound, change(last, ^sealed[last]), errForged},
		{"cut", sealRecord, salt, bound, sealed[:last], errForged},
		{"shorter than any", sealRecord, salt, bound, sealed[:sealOverhead-1], errMalformed},
		{"empty", sealRecord, salt, bound, nil, errMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := k.openAs(tt.what, tt.salt, tt.bound, tt.sealed)
			if !errors.Is(err, tt.want) || err == nil && !bytes.Equal(got, plaintext) {
				t.Errorf("openAs: %q, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestSealingTwiceShowsNothingInCommon(t *testing.T) {
	k := ring(t, secret(1)).active()
	a, err1 := k.sealAs(sealRecord, nil, nil, bytes.Repeat([]byte{7}, 64))
	b, err2 := k.sealAs(sealRecord, nil, nil, bytes.Repeat([]byte{7}, 64))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if bytes.Equal(a[sealHeader:sealHeader+12], b[sealHeader:sealHeader+12]) || bytes.Equal(a[sealHeader+12:], b[sealHeader+12:]) {
		t.Error("two seals of one plaintext share their nonce or ciphertext")
	}
}
