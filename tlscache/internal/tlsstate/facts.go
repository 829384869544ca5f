package tlsstate

import (
	"crypto/tls"
	"encoding/binary"
	"reflect"
	"slices"
	"sync"
)

// Facts are what a client's session state says about itself. They are hints that decide
// about a deadline and nothing else: crypto/tls checks its own before it offers a ticket.
type Facts struct {
	Version uint16
	Created uint64 // seconds since 1970, by Config.Time, when the ticket came
	UseBy   uint64 // likewise; 0 before TLS 1.3
	Secret  []byte // TLS 1.2: the master secret, which renewed tickets share

	// certsUntil is until when crypto/tls offers a ticket with the server's certificates, likewise; 0: not known.
	CertsUntil uint64
}

// Is13 reports whether the session is of TLS 1.3.
func (f *Facts) Is13() bool { return f.Version >= tls.VersionTLS13 }

// FactsOf reads the facts out of a state. crypto/tls hands them out in SessionState.Bytes
// only, which takes 8 µs and 17 KB for a chain of 4 KB, more than all the rest of a Put, so
// they are read by reflection as long as that says the same; see FieldsOf.
func FactsOf(state *tls.SessionState) (f Facts, ok bool) {
	if fields := FieldsOf(state); fields != nil {
		f, ok = fields.Read(state), true
	} else if encoded, err := state.Bytes(); err == nil {
		f, ok = DecodeFacts(encoded)
	}
	f.CertsUntil = HeldBy(state).CertsUntil()
	return f, ok
}

// DecodeFacts reads the facts out of an encoded state, by the layout that Go has had since
// 1.21: the head is version(2) type(1) suite(2) created(8) and the secret with a length of
// one byte, and a TLS 1.3 client's tail useBy(8) ageAdd(4).
func DecodeFacts(encoded []byte) (f Facts, ok bool) {
	const head, tail = 14, 12
	if len(encoded) < head+tail {
		return f, false
	}
	f.Version = binary.BigEndian.Uint16(encoded)
	f.Created = binary.BigEndian.Uint64(encoded[5:])
	if secret := int(encoded[13]); len(encoded) >= head+secret+tail {
		f.Secret = encoded[head : head+secret]
	}
	if f.Is13() {
		f.UseBy = binary.BigEndian.Uint64(encoded[len(encoded)-tail:])
	}
	const client = 2
	return f, encoded[2] == client && len(f.Secret) > 0
}

// fields are the positions of the facts in a tls.SessionState.
type fields struct{ version, created, useBy, secret int }

// shownFields holds the positions, for TLS up to 1.2 and from 1.3 on, once a first ticket of
// that kind has shown that reading them gives what Bytes gives; nil if it does not, or if
// this Go has other fields.
var shownFields [2]struct {
	sync.Once
	fields *fields
}

// FieldsOf returns the positions of the facts, or nil if Bytes must be asked.
func FieldsOf(state *tls.SessionState) *fields {
	fields := knownFields()
	if fields == nil {
		return nil
	}
	got := fields.Read(state)
	kind := 0
	if got.Is13() {
		kind = 1
	}
	s := &shownFields[kind]
	s.Do(func() {
		encoded, err := state.Bytes()
		if err != nil {
			return
		}
		if want, ok := DecodeFacts(encoded); ok && got.Equal(want) {
			s.fields = fields
		}
	})
	return s.fields
}

// Equal reports whether two say the same, but for the certificates.
func (f *Facts) Equal(o Facts) bool {
	return f.Version == o.Version && f.Created == o.Created && f.UseBy == o.UseBy && slices.Equal(f.Secret, o.Secret)
}

var knownFields = sync.OnceValue(func() *fields {
	return findFields(reflect.TypeFor[tls.SessionState]())
})

// findFields looks the fields up by name and type.
func findFields(state reflect.Type) *fields {
	ok := true
	find := func(name string, want reflect.Type) int {
		f, found := state.FieldByName(name)
		if !found || len(f.Index) != 1 || f.Type != want {
			ok = false
			return 0
		}
		return f.Index[0]
	}
	seconds := reflect.TypeFor[uint64]()
	fields := &fields{
		version: find("version", reflect.TypeFor[uint16]()),
		created: find("createdAt", seconds),
		useBy:   find("useBy", seconds),
		secret:  find("secret", reflect.TypeFor[[]byte]()),
	}
	if !ok {
		return nil
	}
	return fields
}

// Read reads the facts where they are.
func (fields *fields) Read(state *tls.SessionState) Facts {
	v := reflect.ValueOf(state).Elem()
	f := Facts{
		Version: uint16(v.Field(fields.version).Uint()),
		Created: v.Field(fields.created).Uint(),
		Secret:  v.Field(fields.secret).Bytes(),
	}
	if f.Is13() {
		f.UseBy = v.Field(fields.useBy).Uint()
	}
	return f
}
