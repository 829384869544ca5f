package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"sync"
	"time"
)

// What the probe wants to know stands in messages that crypto/tls does not show: the lifetime
// of a TLS 1.2 ticket, the early data that a TLS 1.3 ticket allows. This file reads them from
// the bytes that came, with the connection's own keys, of which crypto/tls logs those it
// makes. Nothing here is trusted: what does not parse is not known.

const (
	recordHandshake   = 22
	recordApplication = 23

	messageServerHello      = 2
	messageNewSessionTicket = 4
	messageFinished         = 20

	extensionSessionTicket     = 35
	extensionEarlyData         = 42
	extensionSupportedVersions = 43
)

// ticketInfo is what a NewSessionTicket message says.
type ticketInfo struct {
	lifetime  time.Duration
	size      int
	earlyData uint32 // bytes; 0: none
}

// serverHello is what the probe needs of that message.
type serverHello struct {
	version   uint16 // that the server chose; 0: not known
	suite     uint16
	sessionID int  // its length
	tickets   bool // TLS 1.2: the server will send one
}

// keyLog collects the secrets that crypto/tls logs, by label.
type keyLog struct {
	mu      sync.Mutex
	secrets map[string][]byte
}

func (k *keyLog) Write(line []byte) (int, error) {
	fields := bytes.Fields(line)
	if len(fields) == 3 {
		secret, err := hex.DecodeString(string(fields[2]))
		if err == nil {
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.secrets == nil {
				k.secrets = map[string][]byte{}
			}
			k.secrets[string(fields[0])] = secret
		}
	}
	return len(line), nil
}

// secret returns one, or nil.
func (k *keyLog) secret(label string) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.secrets[label]
}

// parseStream reads what a server sent on one connection.
func parseStream(stream []byte, keys *keyLog) (hello serverHello, tickets []ticketInfo) {
	s := &streamParser{keys: keys}
	for len(stream) >= 5 {
		n := int(binary.BigEndian.Uint16(stream[3:]))
		if len(stream) < 5+n {
			break
		}
		s.record(stream[:5], stream[5:5+n])
		stream = stream[5+n:]
	}
	return s.hello, s.tickets
}

// A streamParser puts the messages of a connection together, across records and keys.
type streamParser struct {
	keys    *keyLog
	hello   serverHello
	tickets []ticketInfo

	aead    cipher.AEAD // of TLS 1.3, once records are encrypted
	iv      []byte
	number  uint64
	pending []byte // of a message that goes on in the next record
}

func (s *streamParser) record(header, body []byte) {
	kind := header[0]
	if kind == recordApplication && s.aead != nil {
		nonce := bytes.Clone(s.iv)
		for i := range 8 {
			nonce[len(nonce)-1-i] ^= byte(s.number >> (8 * i))
		}
		s.number++
		plain, err := s.aead.Open(nil, nonce, body, header)
		if err != nil {
			return
		}
		plain = bytes.TrimRight(plain, "\x00")
		if len(plain) == 0 {
			return
		}
		kind, body = plain[len(plain)-1], plain[:len(plain)-1]
	}
	if kind != recordHandshake {
		return
	}
	s.pending = append(s.pending, body...)
	for len(s.pending) >= 4 {
		n := int(s.pending[1])<<16 | int(s.pending[2])<<8 | int(s.pending[3])
		if len(s.pending) < 4+n {
			return
		}
		message := s.pending[4 : 4+n]
		kind := s.pending[0]
		s.pending = s.pending[4+n:]
		s.message(kind, message)
	}
}

// message looks at one handshake message. From ServerHello on, TLS 1.3 encrypts; and from
// Finished on under another key.
func (s *streamParser) message(kind byte, m []byte) {
	switch kind {
	case messageServerHello:
		s.hello = parseServerHello(m)
		s.useKey("SERVER_HANDSHAKE_TRAFFIC_SECRET")
	case messageFinished:
		s.useKey("SERVER_TRAFFIC_SECRET_0")
	case messageNewSessionTicket:
		if t, ok := parseTicket(m, s.aead != nil); ok {
			s.tickets = append(s.tickets, t)
		}
	}
}

// useKey decrypts what follows with a secret of TLS 1.3, if it was logged and the suite is one
// that the standard library has.
func (s *streamParser) useKey(label string) {
	secret := s.keys.secret(label)
	if secret == nil {
		return
	}
	size, newHash := 16, sha256.New
	switch s.hello.suite {
	case tls.TLS_AES_128_GCM_SHA256:
	case tls.TLS_AES_256_GCM_SHA384:
		size, newHash = 32, sha512.New384
	default:
		return
	}
	key, iv := expandLabel(newHash, secret, "key", size), expandLabel(newHash, secret, "iv", 12)
	if key == nil || iv == nil {
		return
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return
	}
	// It only opens: the nonces were chosen by the process that sealed.
	if s.aead, err = cipher.NewGCM(block); err != nil {
		s.aead = nil // in FIPS mode there is none
		return
	}
	s.iv, s.number = iv, 0
}

// expandLabel is HKDF-Expand-Label of RFC 9846 section 7.1 with an empty context.
func expandLabel(newHash func() hash.Hash, secret []byte, label string, size int) []byte {
	label = "tls13 " + label
	info := binary.BigEndian.AppendUint16(nil, uint16(size))
	info = append(append(append(info, byte(len(label))), label...), 0)
	key, err := hkdf.Expand(newHash, secret, string(info), size)
	if err != nil {
		return nil
	}
	return key
}

func parseServerHello(m []byte) (h serverHello) {
	const beforeID = 2 + 32 // version and random
	if len(m) < beforeID+1 {
		return h
	}
	h.version = binary.BigEndian.Uint16(m)
	h.sessionID = int(m[beforeID])
	m = m[beforeID+1:]
	if len(m) < h.sessionID+3 {
		return h
	}
	m = m[h.sessionID:]
	h.suite = binary.BigEndian.Uint16(m)
	extensions(m[3:], func(kind uint16, body []byte) {
		h.tickets = h.tickets || kind == extensionSessionTicket
		if kind == extensionSupportedVersions && len(body) == 2 { // RFC 9846 section 4.3.1
			h.version = binary.BigEndian.Uint16(body)
		}
	})
	return h
}

// parseTicket reads RFC 9846 section 4.6.1, or RFC 5077 section 3.3.
func parseTicket(m []byte, is13 bool) (t ticketInfo, ok bool) {
	if len(m) < 4 {
		return t, false
	}
	t.lifetime = time.Duration(binary.BigEndian.Uint32(m)) * time.Second
	m = m[4:]
	if is13 {
		if len(m) < 5 || len(m) < 5+int(m[4]) {
			return t, false
		}
		m = m[5+int(m[4]):] // age_add and nonce
	}
	if len(m) < 2 {
		return t, false
	}
	t.size = int(binary.BigEndian.Uint16(m))
	m = m[2:]
	if len(m) < t.size {
		return t, false
	}
	if is13 {
		extensions(m[t.size:], func(kind uint16, body []byte) {
			if kind == extensionEarlyData && len(body) == 4 {
				t.earlyData = binary.BigEndian.Uint32(body)
			}
		})
	}
	return t, true
}

// extensions calls each for every extension of a list with its length in front.
func extensions(m []byte, each func(kind uint16, body []byte)) {
	if len(m) < 2 {
		return
	}
	m = m[2:]
	for len(m) >= 4 {
		n := int(binary.BigEndian.Uint16(m[2:]))
		if len(m) < 4+n {
			return
		}
		each(binary.BigEndian.Uint16(m), m[4:4+n])
		m = m[4+n:]
	}
}
