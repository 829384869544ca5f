package tlscache

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
)

// An exported file is magic(8) salt(16) and one sealed block, bound to both, that contains
// the release of Go, the number of tickets in four bytes, and the tickets, each with its
// length in four bytes, the oldest first.
const (
	exportMagic    = "sctkt\x00\x00\x01" // the last byte is the version
	exportSaltSize = 16
	exportHeader   = len(exportMagic) + exportSaltSize
	sealExport     = "export"

	// maxImport bounds what Import reads, in bytes: a hundred thousand tickets.
	maxImport = 1 << 30
)

// Errors of Import that callers compare with errors.Is.
var (
	// ErrImportFormat says that what Import read was not written by Export, or by a version
	// of this package with another format.
	ErrImportFormat = errors.New("tlscache: not an exported file of a known version")

	// ErrImportKey says that the file was sealed under a secret that the Keyring lacks, was
	// cut short, or was changed.
	ErrImportKey = errors.New("tlscache: the exported file does not open: another key, cut short, or changed")
)

// ExportConfig says what Export writes.
type ExportConfig struct {
	// Keyring seals the file under its active secret. It must be set: the file contains
	// the secrets of sessions, with which their connections can be decrypted and new
	// ones opened as this client.
	Keyring *Keyring

	// MinLife leaves out tickets with less life left than this: from 0 to 7 days.
	MinLife time.Duration

	// ClientCertificates takes in tickets of Configs that show client certificates, and of
	// Views, of which that is not known. The file and the key together are enough to open
	// connections in the name of those certificates.
	ClientCertificates bool
}

// Export writes the tickets that the Client holds, so that Import can read them after a
// restart. In SingleUse mode it moves them: they are out of the Client, and back if w takes
// less than all. The tickets of handshakes under way are not among them.
//
// It is an error, and nothing is written, if tickets are held whose scope means nothing in
// another process (see ClientConfig.Scope), if a Store keeps them, which needs no Export, or after Close.
// Stats count what was exported and left out.
func (c *Client) Export(w io.Writer, cfg ExportConfig) error {
	p, err := c.memory("Export", cfg.Keyring, cfg.MinLife)
	if err == nil && isNil(w) {
		err = errors.New("tlscache: Export: the Writer is nil; want one to write the file to")
	}
	if err != nil {
		return err
	}
	held := p.All()
	if slices.ContainsFunc(held, func(h tickets.KeyedTicket) bool { return h.Key[scopeFlags]&scopeUnstable != 0 }) {
		return errors.New("tlscache: Export: there are tickets of a Config with VerifyPeerCertificate or GetClientCertificate, " +
			"which no other process can tell from another; set ClientConfig.Scope to a name for what they do")
	}
	var leftOut uint64
	now := c.clock.Read()
	held = slices.DeleteFunc(held, func(h tickets.KeyedTicket) bool {
		out := !cfg.ClientCertificates && h.Key[scopeFlags]&(scopeClientCert|scopeOfAView) != 0
		if out {
			leftOut++
		}
		return out || h.Ticket.Left(now) < max(cfg.MinLife, 1)
	})
	if c.cfg.SingleUse {
		held = slices.DeleteFunc(held, func(h tickets.KeyedTicket) bool { return !p.Remove(h.Key, h.Ticket) })
	}
	written, err := writeExport(w, cfg.Keyring, held)
	if err != nil {
		if c.cfg.SingleUse && !written {
			for _, h := range held {
				p.Restore(h.Key, h.Ticket)
			}
		}
		return err
	}
	c.stats.leftOut.Add(leftOut)
	c.stats.exported.Add(uint64(len(held)))
	return nil
}

// writeExport writes one file and reports whether all of it may have been written.
func writeExport(w io.Writer, keyring *Keyring, held []tickets.KeyedTicket) (written bool, err error) {
	file := append(make([]byte, 0, exportHeader), exportMagic...)
	file = append(file, make([]byte, exportSaltSize)...)
	rand.Read(file[len(exportMagic):]) // never fails
	plain := sealing.AppendField(nil, []byte(tickets.GoRelease()))
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(held)))
	for _, h := range held {
		encoded, err := tickets.AppendTicket(nil, h.Key, &h.Ticket.Ticket)
		if err != nil {
			return false, fmt.Errorf("tlscache: Export: cannot encode a ticket: %w", err)
		}
		plain = sealing.AppendField(plain, encoded)
	}
	sealed, err := keyring.active().Seal(sealExport, file[len(exportMagic):], file, plain)
	if err != nil {
		return false, fmt.Errorf("tlscache: Export: %w", err)
	}
	file = append(file, sealed...)
	// In one call: short of the last byte the file opens nowhere.
	n, err := w.Write(file)
	if err == nil && n < len(file) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return n >= len(file), fmt.Errorf("tlscache: Export: %w", err)
	}
	return true, nil
}

// ImportConfig says what Import takes in.
type ImportConfig struct {
	// Keyring must have the secret that the file was sealed under.
	Keyring *Keyring

	// MinLife leaves out tickets with less life left than this: from 0 to 7 days.
	MinLife time.Duration
}

// Import reads what Export wrote and adds the tickets to those that the Client holds. Nothing
// is added unless the whole file is in order. Import it once: in SingleUse mode, a second
// time in whatever process would offer tickets twice.
//
// Tickets that another release of Go wrote are skipped and counted in Stats, which is no
// error. The lives of tickets go by the wall clocks of both processes.
func (c *Client) Import(r io.Reader, cfg ImportConfig) error {
	p, err := c.memory("Import", cfg.Keyring, cfg.MinLife)
	if err == nil && isNil(r) {
		err = errors.New("tlscache: Import: the Reader is nil; want one to read the file from")
	}
	if err != nil {
		return err
	}
	file, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	if err != nil {
		return fmt.Errorf("tlscache: Import: %w", err)
	}
	if len(file) > maxImport {
		return fmt.Errorf("tlscache: Import: the file is longer than %d bytes", maxImport)
	}
	imported, foreign, err := readExport(file, cfg.Keyring)
	if err != nil {
		return err
	}
	c.stats.foreign.Add(uint64(foreign))
	now := c.clock.Read()
	for _, i := range imported {
		switch {
		case !i.ticket.Revive(now, cfg.MinLife):
			c.stats.late.Add(1)
		case c.families.Adopt(&i.ticket) > tickets.MaxTicketBytes:
			c.stats.tooLarge.Add(1)
		case !p.Has(i.key, &i.ticket):
			p.Put(i.key, i.ticket)
			c.stats.imported.Add(1)
		}
	}
	return nil
}

// readExport returns what is in an exported file, or the number of tickets that cannot be
// read as another release of Go wrote them.
func readExport(file []byte, keyring *Keyring) (read []importedTicket, foreign int, err error) {
	if len(file) < exportHeader || string(file[:len(exportMagic)]) != exportMagic {
		return nil, 0, ErrImportFormat
	}
	header := file[:exportHeader]
	plain, err := keyring.keys().Open(sealExport, header[len(exportMagic):], header, file[exportHeader:])
	if err != nil {
		return nil, 0, ErrImportKey
	}
	release, rest, ok := sealing.CutField(plain)
	if !ok || len(rest) < 4 {
		return nil, 0, ErrImportFormat
	}
	count := binary.BigEndian.Uint32(rest)
	rest = rest[4:]
	if string(release) != tickets.GoRelease() {
		return nil, int(count), nil
	}
	for range count {
		var encoded []byte
		if encoded, rest, ok = sealing.CutField(rest); !ok {
			return nil, 0, ErrImportFormat
		}
		key, t, err := tickets.DecodeTicket(encoded)
		if err != nil || key[scopeFlags]&scopeUnstable != 0 {
			return nil, 0, ErrImportFormat
		}
		read = append(read, importedTicket{key, t})
	}
	if len(rest) > 0 {
		return nil, 0, ErrImportFormat
	}
	return read, 0, nil
}

// memory returns the pool to export from or import to.
func (c *Client) memory(what string, keyring *Keyring, minLife time.Duration) (*tickets.MemoryPool, error) {
	if c.isZero() {
		return nil, errZeroClient
	}
	p, ok := c.pool.(*tickets.MemoryPool)
	switch {
	case c.closed.Load():
		return nil, errClientClosed
	case !ok:
		return nil, fmt.Errorf("tlscache: %s: the tickets are in ClientConfig.Store, where they outlive the Client", what)
	case keyring == nil || keyring.keys() == nil:
		return nil, fmt.Errorf("tlscache: %s: Keyring is nil or a zero one; want NewKeyring, for tickets are secrets", what)
	case minLife < 0 || minLife > tickets.MaxLife13:
		return nil, fmt.Errorf("tlscache: %s: MinLife is %v; want from 0s to %v, the longest life of a ticket", what, minLife, tickets.MaxLife13)
	}
	return p, nil
}

// An importedTicket is a ticket with its key.
type importedTicket struct {
	key    string
	ticket tickets.Ticket
}
