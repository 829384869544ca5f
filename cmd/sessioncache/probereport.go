package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// A probeReport is what a probe found. Its JSON form is the output of -json; names in it stay.
type probeReport struct {
	Target      string `json:"target"`
	ServerName  string `json:"server_name"`
	Address     string `json:"address"`
	Certificate string `json:"certificate"` // the leaf's subject, or its first name
	ChainBytes  int    `json:"chain_bytes"`
	Insecure    bool   `json:"insecure"`

	Resumes  bool             `json:"resumes"` // in the newest version that it speaks
	Versions []*versionReport `json:"versions"`

	Others       int `json:"other_addresses"`        // of the name, that answered
	OthersResume int `json:"other_addresses_resume"` // those of them that take a ticket of Address
}

// A versionReport is about one version of TLS.
type versionReport struct {
	Version     string `json:"version"`
	Suite       string `json:"cipher_suite"`
	KeyExchange string `json:"key_exchange"`

	Offered int    `json:"offered"` // handshakes that offered a fresh ticket
	Resumed int    `json:"resumed"` // those of them that resumed
	Why     string `json:"why_not"` // empty: all did

	Tickets        int   `json:"tickets_per_connection"`
	TicketBytes    int   `json:"ticket_bytes"`
	LifetimeS      int   `json:"ticket_lifetime_s"` // 0: not known, or the server does not say
	Reusable       *bool `json:"ticket_reusable"`   // null: not known
	EarlyDataBytes int   `json:"early_data_bytes"`  // 0-RTT: what the server allows; 0: none

	Full  cost `json:"full_handshake"`
	Cost  cost `json:"resumed_handshake"` // 0 if none did
	Saved cost `json:"saved"`

	version     uint16
	sessions    []*probeSession
	used        *probeSession // one that was accepted
	unoffered   bool
	failure     string
	ticketsSeen bool
}

// A cost is the median of one kind of handshake.
type cost struct {
	MS    float64 `json:"ms"`
	Bytes int     `json:"bytes"` // both ways, as TCP carries them
}

func (c cost) less(o cost) cost { return cost{round(c.MS-o.MS, 3), c.Bytes - o.Bytes} }

// describe notes what the server showed first.
func (r *probeReport) describe(state tls.ConnectionState) {
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
	verified := "verified"
	if r.Insecure {
		verified = "not verified"
	}
	fmt.Fprintf(&b, "%s at %s, certificate of %q, %s\n\n", r.Target, r.Address, printable(r.Certificate), verified)
	row := func(name string, value func(v *versionReport) string) {
		fmt.Fprintf(&b, "%-20s", name)
		for i, v := range r.Versions {
			if i < len(r.Versions)-1 {
				fmt.Fprintf(&b, "  %-26s", value(v))
			} else {
				fmt.Fprintf(&b, "  %s", value(v))
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
	r.conclude(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (v *versionReport) resumes() string {
	switch {
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
		return fmt.Sprintf("offered, up to %d B", v.EarlyDataBytes)
	}
	return "not offered"
}

func (c cost) String() string { return fmt.Sprintf("%8.2f ms  %6d B", c.MS, c.Bytes) }

func (v *versionReport) saved() string {
	if v.Resumed == 0 {
		return "-"
	}
	return v.Saved.String()
}

// conclude says in words what follows.
func (r *probeReport) conclude(b *strings.Builder) {
	if len(r.Versions) == 1 {
		other := tls.VersionTLS12 + tls.VersionTLS13 - r.Versions[0].version
		fmt.Fprintf(b, "The server does not speak %s.\n", tls.VersionName(other))
	}
	for _, v := range r.Versions {
		if v.Why != "" {
			fmt.Fprintf(b, "%s: %s.\n", v.Version, v.Why)
		}
	}
	if !r.Resumes {
		return
	}
	v := r.Versions[0]
	fmt.Fprintf(b, "%s resumes. That saves %d B (%.0f %%) and %s per connection.\n",
		v.Version, v.Saved.Bytes, 100*float64(v.Saved.Bytes)/float64(v.Full.Bytes), v.timeSaved())
	if v.Reusable != nil && !*v.Reusable {
		fmt.Fprintf(b, "A ticket works once: of connections opened at once, as many resume as there are tickets at hand.\n")
	}
	if r.Others > 0 {
		fmt.Fprintf(b, "A ticket of this address is taken by %d of %d others of the name%s.\n",
			r.OthersResume, r.Others, endpointHint(r))
	}
}

// timeSaved is for reading: near the server, the network hides what the processors save.
func (v *versionReport) timeSaved() string {
	if v.Saved.MS <= 0 {
		return "no time that can be measured from here"
	}
	return fmt.Sprintf("%.2f ms (%.0f %%)", v.Saved.MS, 100*v.Saved.MS/v.Full.MS)
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
