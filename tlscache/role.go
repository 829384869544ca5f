package tlscache

import (
	"runtime"

	"github.com/puzpuzpuz/xsync/v3"
)

// A role is what a function of crypto/tls says of the connection whose handshake it makes.
type role byte

const (
	noRole role = iota
	roleClient
	roleServer
)

// roleOfFunction are the functions of crypto/tls that every handshake is inside of.
var roleOfFunction = map[string]role{
	"crypto/tls.(*Conn).clientHandshake": roleClient,
	"crypto/tls.(*Conn).serverHandshake": roleServer,
}

// rolesOfPlaces saves naming a function for each call. It has the places in the program's code that led to a
// VerifyConnection, so it is small.
var rolesOfPlaces = xsync.NewMapOf[uintptr, role]()

func roleOfPlace(pc uintptr) role {
	if r, known := rolesOfPlaces.Load(pc); known {
		return r
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	r := roleOfFunction[frame.Function]
	rolesOfPlaces.Store(pc, r)
	return r
}

// roleDepths is how many callers are looked at: at first, for the handshake is four or five above VerifyConnection,
// and where functions that a user put over it come between.
var roleDepths = [...]int{8, 128}

// handshakeRole returns the role of the connection in whose handshake the caller runs. One Config may serve both
// roles, and VerifyConnection, which a Client wraps, is not told which one it is called in: a server that asked
// for a certificate sees the same fields as a client. So the callers are looked at. The nearest handshake counts,
// since what a server calls may dial. Without one there is noRole: a user's function runs ours in another
// goroutine, or this Go names those functions otherwise; see TestRolesAreToldApart.
func handshakeRole() role {
	var pcs [128]uintptr
	for _, depth := range roleDepths {
		n := runtime.Callers(2, pcs[:depth])
		for _, pc := range pcs[:n] {
			if r := roleOfPlace(pc); r != noRole {
				return r
			}
		}
		if n < depth {
			break
		}
	}
	return noRole
}
