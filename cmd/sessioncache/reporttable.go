package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// writeTable writes the report for people: a table of both sides, and what its figures say.
func (r *report) writeTable(w io.Writer) error {
	columns, _ := sizeOf(w)
	_, err := io.WriteString(w, r.table(min(columns, columnsOfText)))
	return err
}

// table is the report on lines of so many columns, 60 at least.
func (r *report) table(columns int) string {
	var b strings.Builder
	if r.Interrupted {
		fmt.Fprintf(&b, "\ninterrupted after %.1fs\n", r.DurationS)
	}
	const wide = 16
	line := func(what, ours, stock string) {
		b.WriteString(strings.TrimRight(row(what, ours, stock, wide), " ") + "\n")
	}
	number := func(n any) string { return fmt.Sprint(n) }
	ms := func(x float64) string { return fmt.Sprintf("%.2f ms", x) }
	share := func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }
	b.WriteString("\n")
	line("", "sessioncache", "crypto/tls")
	line("handshakes", number(r.Handshakes), number(r.Stock.Handshakes))
	line("resumption ratio", share(r.ResumptionRatio), share(r.Stock.ResumptionRatio))
	line("median of full ones", ms(r.FullP50MS), ms(r.Stock.FullP50MS))
	line("median of resumed ones", ms(r.ResumedP50MS), ms(r.Stock.ResumedP50MS))
	line("full: no session yet", number(r.FullNoSession), "")
	line("full: expired or evicted", number(r.FullGone), "")
	line("full: revoked", number(r.FullRevoked), "")
	line("resumed although revoked", number(r.RevokedResumed), number(r.Stock.RevokedResumed))
	line("sessions held", number(r.Sessions), "")
	line("sessions expired", number(r.Expired), "")
	line("sessions revoked", number(r.Revoked), "")
	line("failed", number(r.Failed), number(r.Stock.Failed))
	for _, what := range slices.Sorted(maps.Keys(r.Failures)) {
		fmt.Fprintf(&b, "  %s: %d\n", what, r.Failures[what])
	}
	b.WriteString("\n")
	for _, sentence := range r.words() {
		b.WriteString("- " + wrap(sentence, columns-3, "  ") + "\n")
	}
	return b.String()
}

// words say what the figures mean.
func (r *report) words() []string {
	var said []string
	add := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	add("%.1f %% of %d handshakes resumed. Those send no certificate and make no signature.", 100*r.ResumptionRatio, r.Handshakes)
	if r.FullP50MS > r.ResumedP50MS && r.ResumedP50MS > 0 {
		add("A resumed handshake took %.2f ms and a full one %.2f ms (medians, with the queue for a core on this machine).", r.ResumedP50MS, r.FullP50MS)
	}
	if r.Expired > 0 {
		add("%d sessions ended at their deadline. Deadlines are short here to be seen; "+
			"stock tickets live 7 days in every run, so crypto/tls may resume more.", r.Expired)
	}
	if r.RevokedHosts > 0 {
		add("The sessions of %s were revoked half-way. Clients offered them %d times afterwards and %d resumed. Stock crypto/tls "+
			"can only drop the tickets of all hosts: there, %d of %d such offers resumed.", plural(r.RevokedHosts, "host"), r.RevokedResumed+r.FullRevoked,
			r.RevokedResumed, r.Stock.RevokedResumed, r.Stock.RevokedOffered)
	}
	if r.Sessions > 0 {
		add("The server's store counts %.0f bytes for each of the %d sessions it holds, with keys and entries. Stock tickets take none: "+
			"the clients carry them.", r.BytesPerSession, r.Sessions)
	}
	return said
}
