package hostname

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLabel is how many characters a label may have to be encoded: RFC 1035 section 2.3.4. Encoding takes their
// number squared, and a server's names come from its clients.
const maxLabel = 63

// toASCII returns a name with ASCII letters in lower case and other labels as A-labels: RFC 5891 section 4.4, by
// Punycode, RFC 3492. Of the mappings that come before it (RFC 5895) it makes the one to lower case and
// no other: not Unicode's composition, nor full-width letters, for which tables are needed. A name as people
// write it is encoded as net/http encodes it. Left alone are names with bytes that no host name has or that are not
// UTF-8, and labels with a letter that folds to an ASCII one: a Kelvin sign is no k.
func toASCII(name string) string {
	encode := !IsASCII(name) && utf8.ValidString(name)
	lower := make([]byte, len(name))
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
		if c < utf8.RuneSelf && !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			encode = false
		}
	}
	if !encode {
		return string(lower)
	}
	labels := strings.Split(string(lower), ".")
	for i, label := range labels {
		if a, ok := aLabel(label); ok {
			labels[i] = a
		}
	}
	return strings.Join(labels, ".")
}

// aLabel returns the A-label of a label that is not ASCII and has one.
func aLabel(label string) (string, bool) {
	runes := []rune(label)
	if IsASCII(label) || len(runes) > maxLabel {
		return "", false
	}
	for i, r := range runes {
		lower := unicode.ToLower(r)
		if r >= utf8.RuneSelf && lower < utf8.RuneSelf {
			return "", false
		}
		runes[i] = lower
	}
	return "xn--" + punycode(runes), true
}

func IsASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// The parameters of Punycode: RFC 3492 section 5.
const (
	punyBase, punyMin, punyMax   = 36, 1, 26
	punySkew, punyDamp           = 38, 700
	punyFirstBias, punyFirstCode = 72, 0x80
)

// punycode encodes a label: RFC 3492 section 6.3. Of at most maxLabel characters nothing overflows.
func punycode(label []rune) string {
	var out []byte
	for _, r := range label {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		}
	}
	basic := len(out)
	handled := basic
	if basic > 0 {
		out = append(out, '-')
	}
	next, delta, bias := rune(punyFirstCode), 0, punyFirstBias
	for handled < len(label) {
		smallest := rune(unicode.MaxRune)
		for _, r := range label {
			if r >= next {
				smallest = min(smallest, r)
			}
		}
		delta += int(smallest-next) * (handled + 1)
		next = smallest
		for _, r := range label {
			if r < next {
				delta++
			}
			if r == next {
				out = appendPunyNumber(out, delta, bias)
				bias = punyBias(delta, handled+1, handled == basic)
				delta = 0
				handled++
			}
		}
		delta++
		next++
	}
	return string(out)
}

// appendPunyNumber appends a number in digits of a variable base.
func appendPunyNumber(out []byte, n, bias int) []byte {
	const digits = "abcdefghijklmnopqrstuvwxyz0123456789"
	for k := punyBase; ; k += punyBase {
		t := min(max(k-bias, punyMin), punyMax)
		if n < t {
			return append(out, digits[n])
		}
		out = append(out, digits[t+(n-t)%(punyBase-t)])
		n = (n - t) / (punyBase - t)
	}
}

// punyBias adapts the bias: RFC 3492 section 6.1.
func punyBias(delta, points int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for ; delta > (punyBase-punyMin)*punyMax/2; k += punyBase {
		delta /= punyBase - punyMin
	}
	return k + (punyBase-punyMin+1)*delta/(delta+punySkew)
}
