package tlscache

import (
	"github.com/sessioncache/sessioncache/internal/faults"
	"github.com/sessioncache/sessioncache/session"
)

// addStoreFaults adds what is wrong with a Store, which may be none, and the Keyring that seals the things in it.
func addStoreFaults(wrong *faults.List, store session.Store, keyring *Keyring, things string) {
	if store != nil && isNil(store) {
		wrong.Add("Store is a nil %T; want one that was made, or no Store at all for memory", store)
	} else if _, local := store.(session.Local); keyring == nil && store != nil && !local {
		wrong.Add("Keyring is nil and the Store is not session.Local; want a Keyring, which seals the %s there", things)
	}
	if keyring != nil && keyring.keys() == nil {
		wrong.Add("Keyring is a zero one; want NewKeyring")
	}
}
