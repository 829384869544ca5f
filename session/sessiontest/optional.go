package sessiontest

import (
	"reflect"
	"strings"

	"github.com/sessioncache/sessioncache/session"
)

var (
	storeType   = reflect.TypeFor[session.Store]()
	indexedType = reflect.TypeFor[session.Indexed]()
	localType   = reflect.TypeFor[session.Local]()
)

// A fit is how a Store has one method of an optional interface.
type fit struct {
	name string
	got  reflect.Type // nil: it has no method of that name
	want reflect.Type
	fits bool
}

// fitsOf returns how a Store has the methods of an interface that are not those of session.Store.
func fitsOf(store session.Store, of reflect.Type) (fits []fit) {
	v := reflect.ValueOf(store)
	for i := range of.NumMethod() {
		want := of.Method(i)
		if _, required := storeType.MethodByName(want.Name); required {
			continue
		}
		f := fit{name: want.Name, want: want.Type}
		if m := v.MethodByName(want.Name); m.IsValid() {
			f.got, f.fits = m.Type(), m.Type() == want.Type
		}
		fits = append(fits, f)
	}
	return fits
}

// misfits says which methods of an interface a Store has not, or not as they should be.
func misfits(store session.Store, of reflect.Type) string {
	var all []string
	for _, f := range fitsOf(store, of) {
		switch {
		case f.got == nil:
			all = append(all, "it has no "+f.name+strings.TrimPrefix(f.want.String(), "func"))
		case !f.fits:
			all = append(all, "its "+f.name+" is "+f.got.String()+"; want "+f.want.String())
		}
	}
	return strings.Join(all, ", ")
}

// optionalFit fails a Store that was meant to implement an optional interface, and does not: one
// of its methods fits, another has the name alone. Go's compiler says nothing, and the user of
// the Store goes without. A Store that has some of the methods and lacks the others is no fault,
// nor is a method of its own that is called Size.
func optionalFit(t *tester) {
	for _, of := range []reflect.Type{indexedType, localType} {
		var fitting, wrong int
		for _, f := range fitsOf(t.store, of) {
			switch {
			case f.fits:
				fitting++
			case f.got != nil:
				wrong++
			}
		}
		if fitting > 0 && wrong > 0 {
			t.Errorf("%T is no %v, though other methods fit: %s", t.store, of, misfits(t.store, of))
		}
	}
}
