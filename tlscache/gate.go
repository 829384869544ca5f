package tlscache

import (
	"crypto/tls"
	"reflect"
	"sync"
	"weak"
)

// An installation is a Server's hooks in one Config, as Install left it. What it sets are a gate, which
// crypto/tls calls at the begin of each connection with the Config in use, and hooks which say
// that a Config has a gate. The gate answers with a Config for this connection alone: its
// hooks know the trust configuration as it stands, and which calls belong together.
//
// The installation's own hooks resume and store nothing. They run on connections that came past the
// gate: which Config, and so which trust, crypto/tls uses there is not known.
type installation struct {
	*layer
	cfg weak.Pointer[tls.Config] // which Install was called on
}

// hook sets the hooks of cfg.
func (s *Server) hook(cfg *tls.Config) {
	in := &installation{layer: s.over(cfg), cfg: weak.Make(cfg)}
	cfg.WrapSession, cfg.UnwrapSession, cfg.GetConfigForClient = in.wrap, in.unwrap, in.gate
	s.installed.add(in.cfg)
}

// gate is the GetConfigForClient of a Config. The user's, if any, is asked first, once. Where the Config
// in use is not known, or has no hooks of ours, it returns what the user's did: perhaps nil.
func (in *installation) gate(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if hello == &question.hello {
		return nil, in.layer
	}
	s := in.s
	begin := s.begin() // before the user is asked: a client may be denied right afterwards
	var theirs *tls.Config
	if in.before.get != nil {
		var err error
		if theirs, err = in.before.get(hello); err != nil {
			return theirs, err
		}
	}
	cfg := theirs
	if theirs == nil {
		cfg = configInUse(hello)
	}
	switch {
	case cfg == nil || cfg.SessionTicketsDisabled || s.closed.Load():
		return theirs, nil
	case !intact(in.cfg):
		return in.outside(theirs), nil
	case theirs != nil:
		// A Config that another Server was installed in is that Server's: a callback may choose among
		// tenants that have a Server each.
		if l := layerOf(theirs); l != nil && l.s != s && !l.s.closed.Load() {
			s, begin = l.s, l.s.beginBy(begin)
		}
		c := s.connect(hello, theirs, s.over(theirs), begin)
		return c.clone(theirs, c.wrap, c.unwrap), nil
	}
	return in.inUse(hello, cfg, begin), nil
}

// inUse returns a Config for one connection in place of the one in use, nil where that has lost our hooks.
func (in *installation) inUse(hello *tls.ClientHelloInfo, cfg *tls.Config, begin beginning) *tls.Config {
	w, u := ourWraps.owner(cfg.WrapSession), ourUnwraps.owner(cfg.UnwrapSession)
	switch {
	case cfg.WrapSession == nil || cfg.UnwrapSession == nil:
		return nil
	case w != nil && w.s != in.s, u != nil && u.s != in.s:
		return nil // another Server was installed here and this gate put back: its hooks refuse
	}
	l := in.layer
	if u != nil {
		l = u
	} else if w != nil {
		l = w
	}
	c := in.s.connect(hello, cfg, l, begin)
	wrap, unwrap := c.wrap, c.unwrap
	// A hook that the user put over ours stays. A user who also put a function over the gate, as quic-go
	// does, puts the hooks over those of the Config that the gate returns.
	if direct := ourGates.owner(cfg.GetConfigForClient) != nil; direct && w == nil {
		wrap = c.wrapThrough(cfg.WrapSession)
	}
	if direct := ourGates.owner(cfg.GetConfigForClient) != nil; direct && u == nil {
		unwrap = c.unwrapThrough(cfg.UnwrapSession)
	}
	return c.clone(cfg, wrap, unwrap)
}

// outside returns a user's Config with hooks that resume and store nothing: without any, its clients
// would get stock tickets, which resume wherever they like.
func (in *installation) outside(theirs *tls.Config) *tls.Config {
	if theirs == nil {
		return nil // the hooks of the Config in use are such
	}
	over := &installation{layer: in.s.over(theirs), cfg: in.cfg}
	ours := theirs.Clone()
	ours.WrapSession, ours.UnwrapSession = over.wrap, over.unwrap
	return ours
}

// wrap is the WrapSession of an installed Config.
func (in *installation) wrap(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
	if ss == &question.state {
		return nil, in.layer
	}
	if c := passenger(&cs); c != nil && c.s == in.s {
		return c.wrap(cs, ss)
	}
	s := in.s
	s.counts.handshake(cs.DidResume)
	if !s.closed.Load() {
		s.counts.ungated.Add(1)
	}
	return s.second(in.before.wrap, cs, ss, MissScope), nil
}

// unwrap is the UnwrapSession of an installed Config.
func (in *installation) unwrap(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	if isQuestion(identity) {
		return nil, in.layer
	}
	if c := passenger(&cs); c != nil && c.s == in.s {
		return c.unwrap(identity, cs)
	}
	if len(identity) == 0 {
		return nil, nil
	}
	s := in.s
	s.counts.offered.Add(1)
	var state *tls.SessionState
	if !in.verifiesPeer() { // here nothing would verify the peer again
		state = s.foreign(in.before.unwrap, identity, cs)
	}
	if state == nil {
		s.counts.misses[MissScope].Add(1)
		return nil, nil
	}
	s.counts.found.Add(1)
	s.counts.foundForeign.Add(1)
	return state, nil
}

// helloConfig is the index of the field of a ClientHelloInfo that holds the Config in use, -1 if this
// Go has none: it is there for SupportsCertificate, and not exported. Then no connection whose Config
// does not come from the user's GetConfigForClient resumes, and a test fails; see ADR 13.
var helloConfig = sync.OnceValue(func() int {
	f, ok := reflect.TypeFor[tls.ClientHelloInfo]().FieldByName("config")
	if !ok || len(f.Index) != 1 || f.Type != reflect.TypeFor[*tls.Config]() {
		return -1
	}
	return f.Index[0]
})

// configInUse returns the Config that a connection uses, or nil where that is not known.
func configInUse(hello *tls.ClientHelloInfo) *tls.Config {
	i := helloConfig()
	if hello == nil || i < 0 {
		return nil
	}
	return (*tls.Config)(reflect.ValueOf(hello).Elem().Field(i).UnsafePointer())
}

// intact reports whether the GetConfigForClient of an installed Config is still the gate. Another function
// may return a clone of any Config, with its hooks and another trust. A Config that is garbage was
// not changed.
func intact(cfg weak.Pointer[tls.Config]) bool {
	c := cfg.Value()
	return c == nil || ourGates.owner(c.GetConfigForClient) != nil
}

// maxInstalled bounds the Configs that a Server looks at for its Stats.
const maxInstalled = 1024

// installed are the Configs that Install was called on and that are still reachable. The zero value
// is ready; it is safe for concurrent use.
type installed struct {
	mu struct {
		sync.Mutex
		configs map[weak.Pointer[tls.Config]]struct{}
	}
}

func (r *installed) add(cfg weak.Pointer[tls.Config]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.configs == nil {
		r.mu.configs = make(map[weak.Pointer[tls.Config]]struct{})
	}
	r.mu.configs[cfg] = struct{}{}
	if len(r.mu.configs) <= maxInstalled {
		return
	}
	for c := range r.mu.configs {
		if c.Value() == nil {
			delete(r.mu.configs, c)
		}
	}
	for c := range r.mu.configs {
		if len(r.mu.configs) <= maxInstalled/2 {
			break // room for as many more, so that the walk is not for each
		}
		if c != cfg {
			delete(r.mu.configs, c)
		}
	}
}

// bypassed returns how many of them have lost a hook since.
func (r *installed) bypassed() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.mu.configs {
		switch cfg := c.Value(); {
		case cfg == nil:
			delete(r.mu.configs, c)
		case ourGates.owner(cfg.GetConfigForClient) == nil, cfg.WrapSession == nil, cfg.UnwrapSession == nil:
			n++
		}
	}
	return n
}
