package tlscache

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sessioncache/sessioncache/session"
)

// configFaults are what is wrong with a configuration, so that its user learns of all of it at once.
type configFaults []string

func (f *configFaults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// addOfStore adds what is wrong with a Store, which may be none, and the Keyring that seals the things in it.
func (f *configFaults) addOfStore(store session.Store, keyring *Keyring, things string) {
	if store != nil && isNil(store) {
		f.add("Store is a nil %T; want one that was made, or no Store at all for memory", store)
	} else if _, local := store.(session.Local); keyring == nil && store != nil && !local {
		f.add("Keyring is nil and the Store is not session.Local; want a Keyring, which seals the %s there", things)
	}
	if keyring != nil && keyring.keys() == nil {
		f.add("Keyring is a zero one; want NewKeyring")
	}
}

// err returns the error that names them all, nil if there are none.
func (f configFaults) err() error {
	if len(f) == 0 {
		return nil
	}
	return errors.New("tlscache: " + strings.Join(f, "; "))
}
