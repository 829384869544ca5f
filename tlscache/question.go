package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"reflect"
	"slices"
)

// A probe finds the owner of a hook in a Config: the layer of a Server's hook, the view of a Client's.
//
// Functions cannot be compared, and no hook of a user's may be called to learn whose it is. So a probe looks at the code
// first, which all method values of one method share. Only a hook with the code of ours is asked: it is called with an
// argument that exists for nothing else, one address in this process, and answers with its owner in the place of an
// error. Each of our hooks looks for the question before it does anything else.
type probe[Hook any, Owner error] struct {
	code []uintptr // of our hooks; set by init, for they lead to the probes themselves
	ask  func(Hook) error
}

// owner returns the owner of a hook, nil if there is no hook or it is not ours.
func (p *probe[Hook, Owner]) owner(f Hook) (o Owner) {
	if at := codeOf(f); at == 0 || !slices.Contains(p.code, at) {
		return o
	}
	o, _ = p.ask(f).(Owner)
	return o
}

// codeOf returns where the code of a function is, 0 if it is nil.
func codeOf(f any) uintptr { return reflect.ValueOf(f).Pointer() }

// question is what our hooks are asked with.
var question struct {
	identity [1]byte
	state    tls.SessionState
	hello    tls.ClientHelloInfo
	peers    [1]*x509.Certificate
}

func isQuestion(identity []byte) bool {
	return len(identity) == 1 && &identity[0] == &question.identity[0]
}

func isViewQuestion(cs *tls.ConnectionState) bool {
	return len(cs.PeerCertificates) == 1 && &cs.PeerCertificates[0] == &question.peers[0]
}

// The probes, one for each kind of hook.
var (
	ourWraps = probe[wrapFunc, *layer]{ask: func(f wrapFunc) error {
		_, err := f(tls.ConnectionState{}, &question.state)
		return err
	}}
	ourUnwraps = probe[unwrapFunc, *layer]{ask: func(f unwrapFunc) error {
		_, err := f(question.identity[:], tls.ConnectionState{})
		return err
	}}
	ourGates = probe[getFunc, *layer]{ask: func(f getFunc) error {
		_, err := f(&question.hello)
		return err
	}}
	ourVerifies = probe[verifyFunc, *viewAnswer]{ask: func(f verifyFunc) error {
		return f(tls.ConnectionState{PeerCertificates: question.peers[:]})
	}}
)

// A Config has the hooks of its installation, and one that the gate returned those of its connection.
func init() {
	question.peers[0] = new(x509.Certificate)
	in, c, v := new(installation), new(connection), new(view)
	ourWraps.code = []uintptr{codeOf(in.wrap), codeOf(c.wrap)}
	ourUnwraps.code = []uintptr{codeOf(in.unwrap), codeOf(c.unwrap)}
	ourGates.code = []uintptr{codeOf(in.gate)}
	ourVerifies.code = []uintptr{codeOf(v.verify)}
}

// Error makes a layer the answer of a Server's hook.
func (*layer) Error() string { return "tlscache: the hook is of a Server" }

// A viewAnswer is the answer of a Client's hook.
type viewAnswer struct{ view *view }

func (*viewAnswer) Error() string { return "tlscache: VerifyConnection is of a Client" }

// layerOf returns the layer that a Config has, nil if it has none.
func layerOf(cfg *tls.Config) *layer {
	if l := ourUnwraps.owner(cfg.UnwrapSession); l != nil {
		return l
	}
	return ourWraps.owner(cfg.WrapSession)
}

// viewOf returns the view whose verify a VerifyConnection is, nil if it is not ours.
func viewOf(f verifyFunc) *view {
	if a := ourVerifies.owner(f); a != nil {
		return a.view
	}
	return nil
}
