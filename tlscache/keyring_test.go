package tlscache

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

func secret(id uint32) Secret {
	s := Secret{ID: id}
	for i := range s.Bytes {
		s.Bytes[i] = byte(id) + byte(i) + 1
	}
	return s
}

func ring(t testing.TB, active Secret, accepted ...Secret) *Keyring {
	t.Helper()
	k, err := NewKeyring(active, accepted...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyringRefusesAmbiguousAndEmptySecrets(t *testing.T) {
	other := secret(1)
	other.Bytes[0]++
	for _, tt := range []struct {
		name     string
		active   Secret
		accepted []Secret
		want     string
	}{
		{name: "zero", active: Secret{ID: 3}, want: "secret 3 is all zero"},
		{name: "zero among the accepted", active: secret(1), accepted: []Secret{{ID: 4}}, want: "secret 4 is all zero"},
		{name: "one id, two secrets", active: secret(1), accepted: []Secret{other}, want: "two secrets have the id 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := NewKeyring(tt.active, tt.accepted...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewKeyring: %v; want %q", err, tt.want)
			}
		})
	}
	k := ring(t, secret(1))
	before := k.keys()
	if err := k.Replace(other); err == nil {
		t.Error("Replace gave a known id to another secret")
	}
	if k.keys() != before {
		t.Error("a Replace that failed changed the keyring")
	}
	if _, err := NewKeyring(secret(1), secret(2), secret(1)); err != nil {
		t.Errorf("NewKeyring with a secret listed twice: %v; want none", err)
	}
}

func TestRotationKeepsWhatWasSealedWhileItsSecretIsAccepted(t *testing.T) {
	k := ring(t, secret(1), secret(2)) // 2 is preloaded
	next := ring(t, secret(2), secret(1))
	sealed, err := next.active().Seal(sealing.KindRecord, []byte("salt"), nil, []byte("by the first to rotate"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.keys().Open(sealing.KindRecord, []byte("salt"), nil, sealed); err != nil {
		t.Errorf("a process that has not rotated yet: %v; want the preloaded secret to open", err)
	}
	old, err := k.active().Seal(sealing.KindRecord, []byte("salt"), nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Replace(secret(2), secret(1), secret(3)); err != nil {
		t.Fatal(err)
	}
	if got := k.active().ID; got != 2 {
		t.Errorf("active is %d after Replace; want 2", got)
	}
	if _, err := k.keys().Open(sealing.KindRecord, []byte("salt"), nil, old); err != nil {
		t.Errorf("sealed before the rotation: %v; want it to open", err)
	}
	if err := k.Replace(secret(3), secret(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.keys().Open(sealing.KindRecord, []byte("salt"), nil, old); !errors.Is(err, sealing.ErrUnknownKey) {
		t.Errorf("sealed under a secret that is gone: %v; want %v", err, sealing.ErrUnknownKey)
	}
}

func TestRotationUnderLoadLosesNothing(t *testing.T) {
	k := ring(t, secret(0), secret(1))
	stop := make(chan struct{})
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sealed, err := k.active().Seal(sealing.KindRecord, nil, nil, []byte("x"))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := k.keys().Open(sealing.KindRecord, nil, nil, sealed); err != nil {
					t.Errorf("sealed and opened during rotations: %v", err)
					return
				}
			}
		})
	}
	for id := uint32(1); id < 200; id++ {
		// All earlier ones: a user that stalls between its two calls is no failure.
		accepted := []Secret{secret(id + 1)}
		for back := uint32(1); back <= id; back++ {
			accepted = append(accepted, secret(id-back))
		}
		if err := k.Replace(secret(id), accepted...); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	users.Wait()
}

func TestSecretsPrintAsTheirIDAlone(t *testing.T) {
	s := NewSecret(7)
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "secret", s, "in", struct{ S Secret }{s})
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "secret", s, "in", struct{ S Secret }{s})
	out := string(asJSON) + log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%X", "%q", "%s", "%d"} {
		out += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s) + fmt.Sprintf(verb, struct{ S Secret }{s}) + fmt.Sprintf(verb, []Secret{s})
	}
	for _, leak := range []string{
		string(s.Bytes[:4]), hex.EncodeToString(s.Bytes[:4]), strings.Trim(fmt.Sprint(s.Bytes[:4]), "[]"),
		strings.ReplaceAll(strings.Trim(fmt.Sprint(s.Bytes[:4]), "[]"), " ", ","),
	} {
		if strings.Contains(strings.ToLower(out), strings.ToLower(leak)) {
			t.Errorf("a secret's bytes appear as %q in %s", leak, out)
		}
	}
	if !strings.Contains(out, "secret 7") {
		t.Errorf("the id does not appear in %s", out)
	}
}

// clocked returns a keyring whose clock a test sets.
func clocked(t testing.TB, active Secret, accepted ...Secret) (*Keyring, *clock.Fake) {
	k, c := ring(t, active, accepted...), new(clock.Fake)
	c.Under(&k.clock)
	return k, c
}
