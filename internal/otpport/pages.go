package otpport

import "github.com/sessioncache/sessioncache/fastcache"

// pageBytes is how large a page grows before it is sent. Larger ones save little: a page of
// 32 KiB holds some 500 keys, and a lookup waits for at most one page.
const pageBytes = 32 << 10

// pages are the answers to one request.
type pages struct {
	out  *frameWriter
	id   uint64
	body []byte
}

// room sends the page so far where another n bytes would overfill it. No page is split
// within a session, so one that is larger than a page has a page to itself.
func (p *pages) room(n int) {
	if len(p.body) > 0 && len(p.body)+n > pageBytes {
		p.send(statusMore)
	}
}

// send sends the page. A failure to write ends the reader, which meets it as well.
func (p *pages) send(st status) {
	p.out.answer(p.id, st, p.body)
	p.out.flush()
	p.body = p.body[:0]
}

// list runs fill in a goroutine and ends its pages. Those who look up sessions meanwhile
// get their answers between two pages.
func (s *Server) list(id uint64, fill func(*pages)) {
	s.listing <- struct{}{}
	go func() {
		defer func() { <-s.listing }()
		p := &pages{out: s.out, id: id}
		fill(p)
		p.send(statusOK)
	}()
}

// selectSession fills pages with the sessions of a partial key, newest first.
func (s *Server) selectSession(partial string, p *pages) {
	for _, session := range s.cache.SelectSession(partial) {
		p.room(4 + len(session))
		p.body = appendSized(p.body, session)
	}
}

// keys fills pages with the keys of all sessions.
func (s *Server) keys(p *pages) {
	for key := range s.cache.All() {
		p.room(8 + len(key.Partial) + len(key.ID))
		p.body = appendKey(p.body, key)
	}
}

// fetch answers with those of the sessions named by body that are there. The key comes
// along, for the absent leave no gap.
func (s *Server) fetch(id uint64, body []byte) {
	var keys []fastcache.Key
	for len(body) > 0 {
		key, rest, err := takeKey(body)
		if err != nil {
			s.out.fault(id, codeBody, err.Error())
			return
		}
		keys, body = append(keys, key), rest
	}
	s.list(id, func(p *pages) {
		for _, key := range keys {
			session, ok := s.cache.Lookup(key)
			if !ok {
				continue
			}
			p.room(12 + len(key.Partial) + len(key.ID) + len(session))
			p.body = appendSized(appendKey(p.body, key), session)
		}
	})
}
