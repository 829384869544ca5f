package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// A probeReport is what a probe found. Its JSON form is the output of -json; names in it stay.
type probeReport struct {
	Target      string `json:"target"`
	ServerName  string `json:"server_name"`
	Address     string `json:"address"`
	Certificate string `json:"certificate"` // the leaf's subject, or its first name
	ChainBytes  int    `json:"chain_bytes"`
	Insecure    bool   `json:"insecure"`

	Resumes     bool             `json:"resumes"` // in the newest version that it speaks
	Verdict     verdict          `json:"verdict"` // the same with its third answer
	Interrupted bool             `json:"interrupted"`
	Versions    []*versionReport `json:"versions"`
	NotProbed   []notProbed      `json:"not_probed"` // versions without a handshake to report

	Others       int `json:"other_addresses"`        // of the name, that answered
	OthersResume int `json:"other_addresses_resume"` // those of them that take a ticket of Address
}

// A verdict is the answer to whether the server resumes.
type verdict string

const (
	verdictYes     verdict = "yes"
	verdictNo      verdict = "no"
	verdictUnknown verdict = "unknown"
)

// notProbed says why there is nothing to say about a version.
type notProbed struct {
	Version string    `json:"version"`
	Kind    faultKind `json:"kind"`
	Why     string    `json:"why"`
}

// A versionReport is about one version of TLS.
type versionReport struct {
	Version     string `json:"version"`
	Suite       string `json:"cipher_suite"`
	KeyExchange string `json:"key_exchange"`

	Offered int    `json:"offered"` // handshakes that offered a fresh ticket
	Resumed int    `json:"resumed"` // those of them that resumed
	Failed  int    `json:"failed"`  // handshakes
	Asked   bool   `json:"client_certificate_asked"`
	Shown   bool   `json:"client_certificate_shown"`
	Why     string `json:"why_not"` // empty: all did

	Tickets        int    `json:"tickets_per_connection"`
	TicketBytes    int    `json:"ticket_bytes"`
	LifetimeS      int    `json:"ticket_lifetime_s"` // 0: not known, or the server does not say
	Reusable       *bool  `json:"ticket_reusable"`   // null: not known
	EarlyDataBytes uint32 `json:"early_data_bytes"`  // 0-RTT: what the server allows; 0: none

	Full  cost `json:"full_handshake"`
	Cost  cost `json:"resumed_handshake"` // 0 if none did
	Saved cost `json:"saved"`             // 0 where no saving can be told

	version       uint16
	full, resumed []*probeDial
	sessions      []*probeSession
	used          *probeSession // one that was accepted
	unoffered     bool          // crypto/tls has a ticket and does not offer it
	renewsNone    bool          // resumed handshakes bring no ticket
	ticketsSeen   bool

	fault      *fault // the last
	failing    int    // dials that failed in a row
	stopped    bool   // before all dials were done
	offerFault *fault // of one that failed for its ticket
}

// A cost is the median of one kind of handshake.
type cost struct {
	MS    float64 `json:"ms"`
	Bytes int     `json:"bytes"` // both ways, as TCP carries them
}

// describe notes what the server showed first.
func (r *probeReport) describe(state tls.ConnectionState) {
	if len(state.PeerCertificates) == 0 {
		return
	}
	leaf := state.PeerCertificates[0]
	r.Certificate = leaf.Subject.CommonName
	if r.Certificate == "" && len(leaf.DNSNames) > 0 {
		r.Certificate = leaf.DNSNames[0]
	}
	for _, cert := range state.PeerCertificates {
		r.ChainBytes += len(cert.Raw)
	}
}

// writeJSON writes the report as one JSON object.
func (r *probeReport) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// writeTable writes the report for people.
func (r *probeReport) writeTable(w io.Writer) error {
	var b strings.Builder
	head := r.Target + " at " + r.Address
	if r.Certificate != "" {
		head += fmt.Sprintf(", certificate of %q", printable(r.Certificate))
	}
	if r.Insecure {
		head += ", not verified"
	} else {
		head += ", verified"
	}
	b.WriteString(wrap(head, maxColumns, "  ") + "\n\n")
	if len(r.Versions) > 0 {
		r.writeRows(&b)
	}
	for _, sentence := range r.conclude() {
		b.WriteString(wrap(sentence, maxColumns, "  ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRows writes the table, with a column for each version.
func (r *probeReport) writeRows(b *strings.Builder) {
	row := func(name string, value func(v *versionReport) string) {
		fmt.Fprintf(b, "%-20s", name)
		for i, v := range r.Versions {
			if i < len(r.Versions)-1 {
				fmt.Fprintf(b, "  %-26s", value(v))
			} else {
				fmt.Fprintf(b, "  %s", value(v))
			}
		}
		b.WriteByte('\n')
	}
	row("", func(v *versionReport) string { return v.Version })
	row("resumes", (*versionReport).resumes)
	row("tickets", (*versionReport).tickets)
	row("ticket lifetime", (*versionReport).lifetime)
	row("a used ticket", (*versionReport).reuse)
	row("0-RTT", (*versionReport).earlyData)
	row("full handshake", func(v *versionReport) string { return v.Full.String() })
	row("resumed handshake", func(v *versionReport) string {
		if v.Resumed == 0 {
			return "-"
		}
		return v.Cost.String()
	})
	row("saved", (*versionReport).saved)
	b.WriteByte('\n')
}

func (v *versionReport) resumes() string {
	switch {
	case v.Resumed == 0 && v.verdict() == verdictUnknown:
		return "not known"
	case v.Resumed == 0:
		return "no"
	case v.Resumed < v.Offered:
		return fmt.Sprintf("sometimes, %d of %d", v.Resumed, v.Offered)
	}
	return fmt.Sprintf("yes, %d of %d", v.Resumed, v.Offered)
}

func (v *versionReport) tickets() string {
	if v.Tickets == 0 {
		return "none"
	}
	s := fmt.Sprintf("%d per connection", v.Tickets)
	if v.TicketBytes > 0 {
		s += fmt.Sprintf(", %d B", v.TicketBytes)
	}
	return s
}

func (v *versionReport) lifetime() string {
	switch {
	case v.Tickets == 0:
		return "-"
	case !v.ticketsSeen:
		return "not known"
	case v.LifetimeS == 0 && v.version == tls.VersionTLS12:
		return "not said" // RFC 5077 section 3.3: the client decides
	}
	return lifetime(time.Duration(v.LifetimeS) * time.Second)
}

// lifetime prints a duration in its largest whole unit.
func lifetime(d time.Duration) string {
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}} {
		if d >= unit.size && d%unit.size == 0 {
			return plural(int(d/unit.size), unit.name)
		}
	}
	return plural(int(d/time.Second), "second")
}

func (v *versionReport) reuse() string {
	switch {
	case v.Reusable == nil:
		return "-"
	case *v.Reusable:
		return "is taken again"
	}
	return "is not taken again"
}

func (v *versionReport) earlyData() string {
	switch {
	case v.version < tls.VersionTLS13 || v.Tickets == 0:
		return "-"
	case !v.ticketsSeen:
		return "not known"
	case v.EarlyDataBytes > 0:
		return fmt.Sprintf("up to %d B", v.EarlyDataBytes)
	}
	return "not offered"
}

func (c cost) String() string { return fmt.Sprintf("%8.2f ms  %6d B", c.MS, c.Bytes) }

func (v *versionReport) saved() string {
	switch {
	case v.Resumed == 0:
		return "-"
	case v.Saved.MS == 0:
		return fmt.Sprintf("%11s  %6d B", "no time", v.Saved.Bytes)
	}
	return v.Saved.String()
}

// conclude says in words what follows, a paragraph at a time.
func (r *probeReport) conclude() (says []string) {
	say := func(format string, args ...any) { says = append(says, fmt.Sprintf(format, args...)) }
	if r.Interrupted {
		say("Interrupted: this is what was known by then.")
	}
	needsCertificate := false
	for _, n := range r.NotProbed {
		switch n.Kind {
		case faultInterrupted:
		case faultVersion:
			say("T%s.", strings.TrimPrefix(n.Why, "t"))
		default:
			say("%s: %s.", n.Version, n.Why)
		}
		needsCertificate = needsCertificate || n.Kind == faultClientCert
	}
	for _, v := range r.Versions {
		v.conclude(say)
	}
	if needsCertificate && r.Verdict == verdictUnknown {
		say("Whether the server resumes for clients with a certificate is told by probe with -cert and -key, or by the server's own statistics.")
	}
	if r.Resumes {
		r.concludeYes(say)
	}
	return says
}

// conclude says what is particular to a version.
func (v *versionReport) conclude(say func(format string, args ...any)) {
	if v.Why != "" {
		say("%s: %s.", v.Version, v.Why)
	}
	if v.Failed > 0 && !strings.Contains(v.Why, v.fault.says) {
		say("%s: %s failed: %s.", v.Version, plural(v.Failed, "handshake"), v.fault.says)
	}
	if v.Shown {
		say("%s: the server asks for a client certificate and accepts that of -cert.", v.Version)
	} else if v.Asked {
		say("%s: the server asks for a client certificate and does without.", v.Version)
	}
}

// concludeYes says what resumption in the newest version is worth.
func (r *probeReport) concludeYes(say func(format string, args ...any)) {
	v := r.Versions[0]
	bytes := "no bytes"
	if v.Saved.Bytes > 0 {
		bytes = fmt.Sprintf("%d B (%.0f %%)", v.Saved.Bytes, 100*float64(v.Saved.Bytes)/float64(v.Full.Bytes))
	}
	say("%s resumes. That saves %s per connection, and %s.", v.Version, bytes, v.timeSaved())
	if v.Reusable != nil && !*v.Reusable {
		say("A ticket works once: of connections opened at once, as many resume as there are tickets at hand.")
	}
	if r.Others > 0 {
		say("A ticket of this address is taken by %d of %d others of the name%s.", r.OthersResume, r.Others, endpointHint(r))
	}
}

// timeSaved is for reading: near the server, the network hides what the processors save.
func (v *versionReport) timeSaved() string {
	medians := fmt.Sprintf("medians of %d and %d: %.2f ms full, %.2f ms resumed", len(v.full), len(v.resumed), v.Full.MS, v.Cost.MS)
	switch {
	case v.Saved.MS > 0:
		return fmt.Sprintf("%.2f ms (%.0f %%; %s)", v.Saved.MS, 100*v.Saved.MS/v.Full.MS, medians)
	case !v.enough():
		return fmt.Sprintf("so few handshakes do not tell what time it saves (%s); a larger -n does", medians)
	}
	return fmt.Sprintf("no time that can be told from noise here (%s)", medians)
}

func endpointHint(r *probeReport) string {
	if r.OthersResume < r.Others {
		return "; tlscache's DialTLSContext keeps tickets per address"
	}
	return ""
}

// printable drops what a certificate could say to a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return -1
		}
		return c
	}, s)
}

// wrap breaks text into lines of so many columns, those after the first indented.
func wrap(text string, columns int, indent string) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > columns:
			b.WriteString("\n" + indent)
			at = len(indent)
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}
