package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A fault is why a dial of the probe did not show what it was for.
type fault struct {
	kind faultKind
	says string // for people: what happened and what to do, without the period
}

// A faultKind is for programs: -json prints it, and what it prints stays.
type faultKind string

const (
	faultInterrupted faultKind = "interrupted"
	faultLookup      faultKind = "lookup" // the name has no address
	faultRefused     faultKind = "refused"
	faultUnreachable faultKind = "unreachable"
	faultTimeout     faultKind = "timeout"
	faultReset       faultKind = "reset"
	faultClosed      faultKind = "closed"
	faultNotTLS      faultKind = "not-tls"
	faultVersion     faultKind = "version" // the server does not speak this one
	faultClientCert  faultKind = "client-certificate"
	faultServerName  faultKind = "server-name"
	faultALPN        faultKind = "alpn"
	faultUntrusted   faultKind = "untrusted" // the server's certificate
	faultAlert       faultKind = "alert"     // any other
	faultOther       faultKind = "other"
)

// passing reports whether the next dial may well do better.
func (f *fault) passing() bool {
	switch f.kind {
	case faultRefused, faultReset, faultClosed, faultAlert:
		return true
	}
	return false
}

// everyVersion reports whether a dial with another version of TLS would end in the same way.
func (f *fault) everyVersion() bool {
	switch f.kind {
	case faultInterrupted, faultRefused, faultUnreachable, faultNotTLS, faultUntrusted, faultServerName:
		return true
	}
	return false
}

// The alerts that a client hears which shows no certificate, or none that is wanted.
var certificateAlerts = map[tls.AlertError]bool{
	40:  true, // handshake_failure, RFC 5246 section 7.4.6: OpenSSL in TLS 1.2
	41:  true, // no_certificate, of SSL 3
	42:  true, // bad_certificate: Go in TLS 1.2
	43:  true, // unsupported_certificate
	46:  true, // certificate_unknown
	48:  true, // unknown_ca
	49:  true, // access_denied
	116: true, // certificate_required, RFC 9846 section 4.5.2.4: TLS 1.3
}

const (
	alertHandshakeFailure tls.AlertError = 40
	alertProtocolVersion  tls.AlertError = 70
	alertUnrecognizedName tls.AlertError = 112
	alertCertRequired     tls.AlertError = 116
	alertNoALPN           tls.AlertError = 120
)

// alertOf returns the alert by which the peer ended a connection. crypto/tls has a type of its
// own for it, which others see as text only.
func alertOf(err error) (alert tls.AlertError, name string, ok bool) {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" {
		return 0, "", false
	}
	text := remote.Err.Error()
	for code := range 256 {
		if alert = tls.AlertError(code); alert.Error() == text {
			return alert, strings.TrimPrefix(text, "tls: "), true
		}
	}
	return 0, "", false
}

// diagnose says why a dial failed with an error.
func (p *prober) diagnose(d *probeDial, err error) *fault {
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	alert, name, isAlert := alertOf(err)
	switch {
	case p.ctx.Err() != nil:
		return &fault{faultInterrupted, "interrupted"}
	case !d.connected:
		return p.diagnoseConnect(err)
	case errors.As(err, &untrusted):
		return &fault{faultUntrusted, "the server's certificate is not trusted: " + whyUntrusted(untrusted) + "; -insecure goes on all the same"}
	case isAlert:
		return d.diagnoseAlert(alert, name)
	case d.hello.version != 0 && d.hello.version != d.version:
		return &fault{faultVersion, fmt.Sprintf("the server does not speak %s; it chose %s", tls.VersionName(d.version), tls.VersionName(d.hello.version))}
	case errors.As(err, &noTLS):
		return diagnoseNoTLS(noTLS.RecordHeader)
	case isTimeout(err) && d.received == 0:
		return &fault{faultTimeout, fmt.Sprintf("the server accepts connections and does not answer the handshake within %v; the port may speak another protocol, or one that starts TLS on request (STARTTLS), and -timeout waits longer", p.timeout())}
	case isTimeout(err):
		return &fault{faultTimeout, fmt.Sprintf("the server did not finish the handshake within %v; -timeout waits longer", p.timeout())}
	case d.shown:
		return &fault{faultClientCert, "the server asked for a client certificate, got that of -cert and ended the connection"}
	case d.asked:
		return &fault{faultClientCert, "the server asked for a client certificate, got none and ended the connection"}
	case isReset(err):
		return &fault{faultReset, "the server, or something before it, reset the connection in the handshake; check that the port speaks TLS"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &fault{faultClosed, "the server closed the connection in the handshake; check that the port speaks TLS"}
	}
	return &fault{faultOther, "the handshake failed: " + printable(err.Error())}
}

// diagnoseConnect is for dials that got no connection.
func (p *prober) diagnoseConnect(err error) *fault {
	switch {
	case isRefused(err):
		return &fault{faultRefused, "connection refused; nothing listens there, so check the port"}
	case isTimeout(err):
		return &fault{faultTimeout, fmt.Sprintf("no connection within %v; a firewall may drop it, so check host and port; -timeout waits longer", p.timeout())}
	case isUnreachable(err):
		return &fault{faultUnreachable, "no route to this address from here"}
	case isTooManyFiles(err):
		return &fault{faultOther, "this process may open no more connections; raise the limit of open files"}
	}
	return &fault{faultOther, "no connection: " + printable(err.Error())}
}

// diagnoseAlert is for handshakes, and connections after them, that the server ended.
func (d *probeDial) diagnoseAlert(alert tls.AlertError, name string) *fault {
	switch {
	case d.shown && certificateAlerts[alert]:
		return &fault{faultClientCert, fmt.Sprintf("the server does not accept the client certificate of -cert (alert %q)", name)}
	case d.asked && certificateAlerts[alert], alert == alertCertRequired:
		return &fault{faultClientCert, fmt.Sprintf("the server requires a client certificate (alert %q), and probe has none; -cert gives it one", name)}
	case alert == alertProtocolVersion:
		return &fault{faultVersion, "the server does not speak " + tls.VersionName(d.version)}
	case alert == alertUnrecognizedName:
		return &fault{faultServerName, fmt.Sprintf("the server does not know the name it is asked for (alert %q); -sni asks for another", name)}
	case alert == alertNoALPN:
		return &fault{faultALPN, fmt.Sprintf("the server insists on an application protocol (alert %q), and probe names none", name)}
	case alert == alertHandshakeFailure:
		return &fault{faultAlert, fmt.Sprintf("the server refused the handshake (alert %q): it may not speak %s, or have no cipher suite in common with Go's crypto/tls", name, tls.VersionName(d.version))}
	}
	return &fault{faultAlert, fmt.Sprintf("the server ended the handshake with the alert %q; its log may say why", name)}
}

// diagnoseNoTLS looks at the first bytes that came.
func diagnoseNoTLS(header [5]byte) *fault {
	start := string(header[:])
	if start == "HTTP/" {
		return &fault{faultNotTLS, "the port speaks HTTP without TLS; give the port of its TLS, which often is 443"}
	}
	return &fault{faultNotTLS, fmt.Sprintf("what answers is not TLS, it begins with %q; check the port; probe cannot start TLS on request (STARTTLS)", start)}
}

// whyUntrusted says it without the names of a certificate that lists hundreds.
func whyUntrusted(err *tls.CertificateVerificationError) string {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return "it is for other names; -sni asks for and verifies another"
	case errors.As(err, &authority):
		return "its authority is unknown on this machine, or the server sends no intermediate certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("by this machine's clock, it is valid from %s to %s", day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter))
	}
	return printable(err.Err.Error())
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// diagnoseLookup is for names without an address.
func (p *prober) diagnoseLookup(host string, err error) *fault {
	var dns *net.DNSError
	switch {
	case p.ctx.Err() != nil:
		return &fault{faultInterrupted, "interrupted"}
	case errors.As(err, &dns) && dns.IsNotFound:
		return &fault{faultLookup, fmt.Sprintf("the name %q has no address; check its spelling, or give an address with -addr", host)}
	case isTimeout(err):
		return &fault{faultLookup, fmt.Sprintf("no answer within %v to the question for the address of %q; -timeout waits longer, -addr needs no question", p.timeout(), host)}
	}
	return &fault{faultLookup, fmt.Sprintf("cannot find the address of %q: %s", host, printable(err.Error()))}
}
