package sessiontest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A pair of keys is distinct, and looks alike to a Store that does something to its keys.
type pair struct {
	what string
	a, b session.Key
}

// joined are keys that a separator does not keep apart, whichever part comes first.
func joined() (pairs []pair) {
	separators := []string{
		"", "->", "=>", "<>", "()", "[]", "{}", ", ", "; ", ": ", " - ", " | ", "\r\n", "/:", ":/", "://", "|:", ":|",
		"\x00\x01", "\x1e\x1f", "\xff\x00", "\xff\xfe", "é", "→", "§", "·", "\u2028", "\ufffd", "%00", "%2F", "%3A", "\\0", "\\x00",
		"|#|", "<sep>", "$$", "~~", ".-.", "_-_", "&id=", "?id=", "#id=", "\",\"", "','", `"`, `\`,
	}
	for b := range 256 {
		separators = append(separators, string([]byte{byte(b)}))
	}
	for _, s := range separators {
		pairs = append(pairs, aroundPair(s))
	}
	return pairs
}

func aroundPair(separator string) pair {
	around := "a" + separator + "a"
	return pair{fmt.Sprintf("joined by %q", separator), session.Key{Partial: "a", ID: around}, session.Key{Partial: around, ID: "a"}}
}

// counted are keys that a length does not keep apart if nothing ends it, or if it is cut.
func counted() (pairs []pair) {
	add := func(what, p, id, p2, id2 string) {
		pairs = append(pairs, pair{what, session.Key{Partial: p, ID: id}, session.Key{Partial: p2, ID: id2}})
	}
	ten := "bcdefghijk"
	add("a decimal length in front", "2", ten+"lmz", ten+"lm", "z") // 1 2 …, 12 …
	add("a hexadecimal length in front", "a", strings.Repeat("x", 26)+"z", strings.Repeat("x", 26), "z")
	add("a decimal length behind", "a", ten+"z1", "a"+ten, "z")
	add("the id's decimal length in front", "z"+"bbbbbbbbbbbb", "2", "z", "bbbbbbbbbbbb")
	for _, s := range []string{"", ":", "/", "|", "-", ",", " ", ";", "#", "."} {
		head := "a" + s + "1" + s + "b"
		n := fmt.Sprint(len(head))
		add(fmt.Sprintf("a length in between, %q", s), "a", "b"+s+n+s+"z", head, "z")
	}
	all := strings.Repeat("k", 64<<10)
	for _, n := range []int{1, 255, 256} {
		add("a length of one byte", all[:n], all[n:1000], all[:n+256], all[n+256:1000])
	}
	add("a length of two bytes", "", all, all, "")
	add("bytes in hexadecimal", "a", "\x01\x23", "a", "\x12\x03")
	add("bytes in hexadecimal", "\x01\x23", "a", "\x12\x03", "a")
	add("bytes in decimal", "a", "\x01\x17", "a", "\x0b\x07")
	for _, c := range collisions {
		for _, p := range c.pairs {
			pairs = append(pairs, pair{"32 bits of " + c.hash, key("host", p[0]), key("host", p[1])})
		}
	}
	return pairs
}

// words are distinct texts that are the same to what cleans, folds, cuts, parses or matches.
func words() (all [][2]string) {
	add := func(a string, like ...string) {
		for _, b := range like {
			all = append(all, [2]string{a, b})
		}
	}
	for _, w := range []string{" ", "\t", "\n", "\r", "\r\n", "\v", "\f", "\x00", "\u00a0", "\u2003", "\u0085", "\u200b", "\ufeff", ".", "/", "=", "0", ";", "\\"} {
		add("a", "a"+w, w+"a")
		add("a"+w+"b", "a"+w+w+"b", "ab")
	}
	add("host", "HOST", "Host", "hosT")
	add("ß", "ss", "SS", "ẞ")
	add("é", "É", "e\u0301", "e", "\xe9")
	add("k", "\u212a", "K")
	add("s", "ſ", "S")
	add("i", "ı", "İ", "I")
	add("fi", "ﬁ")
	add("1", "01", "1.0", "+1", "0x1", "1e0", "１", "true", "1 ", "\x01")
	add("0", "-0", "", "false", "00", "null")
	add("", "NULL", "nil", "null", "undefined", "<nil>", "none", "\"\"", "''", "\x00", " ", "*", "%", "default")
	add("\xff", "\xfe", "\ufffd", "\u00ff", "\xff\xff", "?", "")
	add("a\xffb", "a\xfeb", "a\ufffdb", "ab", "a?b")
	add("\xed\xa0\x80", "\ufffd", "\ufffd\ufffd\ufffd", "\xed\xb0\x80")
	add("a b", "a+b", "a%20b", "a_b", "a-b", "a\\ b")
	add("a/b", "a//b", "a/./b", "a/c/../b", "/a/b", "a/b/", "a%2Fb", "a\\b", "a:b", "a_b", "a|b", "a\x00b", "./a/b")
	add("a", "%61", "&#97;", "\\x61", "\\u0061", "'a'", "\"a\"", "`a`", "(a)", "{a}", "[a]", "a'", "a''", "a\x00z", "a\nz", "a#", "a?", "a&", "a,b", "a;b")
	add("<", "&lt;", "\\u003c", "%3C")
	add("\n", "\\n", "\r\n", "%0A", "\r")
	add("\\", "\\\\", "/", "%5C")
	add("::1", "0:0:0:0:0:0:0:1", "[::1]")
	add("bücher.example", "xn--bcher-kva.example")
	add("host:443", "host", "https://host", "host:0443", "host:443.", "www.host:443")
	add("CON", "con", "_CON", "CON.txt")
	add("..", ".", "", "../..", "...")
	add("a.json", "a", "a.tmp", "a.lock")
	long := strings.Repeat("k", 64<<10)
	last := long[:len(long)-1]
	middle := len(long) / 2
	add(long, last+"x", "x"+last, long[:middle]+"x"+long[middle+1:], last)
	for _, n := range []int{16, 20, 32, 64, 128, 255, 4096} {
		add(long[:n], long[:n]+"x", long[:n-1])
	}
	return all
}

// lookalikes are all pairs.
func lookalikes() []pair {
	pairs := counted()[:20]
	for _, s := range ":/|-._,#; \n\x00\t=" {
		pairs = append(pairs, aroundPair(string(s)))
	}
	for _, w := range words() {
		pairs = append(pairs,
			pair{"ids", session.Key{Partial: "host", ID: w[0]}, session.Key{Partial: "host", ID: w[1]}},
			pair{"partial keys", session.Key{Partial: w[0], ID: "id"}, session.Key{Partial: w[1], ID: "id"}})
	}
	return slices.Concat(pairs, joined(), counted()[20:])
}

func keysApart(t *tester) {
	t.each(lookalikes(), func(p pair) {
		what := fmt.Sprintf("keys that look alike (%s), with a session of %s alone", p.what, show(p.a))
		t.update(p.a, "of a", ttl)
		t.wantAbsent(p.b, what)
		t.update(p.b, "of b", ttl)
		t.wantFound(p.a, "of a", what+" before")
		if got, err := t.store.Take(t.ctx, p.b); err != nil || string(got) != "of b" {
			t.Errorf("keys that look alike (%s): Take(%s) = %s, %v; want its own session", p.what, show(p.b), brief(string(got)), err)
		}
		t.wantFound(p.a, "of a", "keys that look alike, after Take of the other")
		if err := t.store.Delete(t.ctx, p.b); err != nil {
			t.Errorf("Delete(%s) = %v; want nil", show(p.b), err)
		}
		t.wantFound(p.a, "of a", "keys that look alike, after Delete of the other")
		if err := t.store.Delete(t.ctx, p.a); err != nil {
			t.Errorf("Delete(%s) = %v; want nil", show(p.a), err)
		}
	})
}

// each asks about pairs, the likeliest first, as long as there is time: a Store that takes 100 ms for
// a call is not asked about all.
func (t *tester) each(pairs []pair, ask func(pair)) {
	began := time.Now()
	for i, p := range pairs {
		if time.Since(began) > patience/2 {
			t.Logf("asked about %d of %d pairs of keys in %v", i, len(pairs), patience/2)
			return
		}
		ask(p)
	}
}

// partialsApart asks for all of a partial key where only one that looks alike has a session.
func partialsApart(t *tester, s session.Indexed) {
	all := words()
	for _, w := range []string{"a%", "a_", "a*", "a?", "[a]b", "[^x]b", "a[a-z]", "{ab,cd}", "a.", "a.*", "^ab", "ab$", "a|ab", "(ab)", "%", "_b", "*", "?b", "..", ".*", "ab|", "a", "b", "", "%b", "*b", "a' OR '1'='1", "ab--"} {
		all = append(all, [2]string{"ab", w})
	}
	var pairs []pair
	for _, w := range all {
		a, b := session.Key{Partial: w[0], ID: "id"}, session.Key{Partial: w[1], ID: "id"}
		pairs = append(pairs, pair{a: a, b: b}, pair{a: b, b: a})
	}
	slices.Reverse(pairs) // patterns first
	t.each(pairs, func(p pair) { t.partialApart(s, p.a, p.b.Partial) })
}

func (t *tester) partialApart(s session.Indexed, k session.Key, other string) {
	t.Helper()
	t.update(k, "mine", ttl)
	if got := t.selectAll(s, other); len(got) != 0 {
		t.Errorf("SelectSession(%s) = %q; want none: they are of %s", brief(other), sessions(got), brief(k.Partial))
	}
	e, err := s.TakeNewest(t.ctx, other, false)
	t.wantMiss(e.Session, err, fmt.Sprintf("TakeNewest(%s) where only %s has a session", brief(other), brief(k.Partial)))
	if n, err := s.DeletePartial(t.ctx, other); n != 0 || err != nil {
		t.Errorf("DeletePartial(%s) = %d, %v; want 0: all are of %s", brief(other), n, err, brief(k.Partial))
	}
	t.wantFound(k, "mine", "after DeletePartial of a partial key that looks alike")
	for _, e := range t.selectAll(s, k.Partial) {
		if e.Key != k {
			t.Errorf("SelectSession(%s) shows the key %s; want %s", brief(k.Partial), show(e.Key), show(k))
		}
	}
	if n, err := s.DeletePartial(t.ctx, k.Partial); n != 1 || err != nil {
		t.Errorf("DeletePartial(%s) = %d, %v; want 1", brief(k.Partial), n, err)
	}
}

// entriesExact holds the keys and sessions in entries against those stored.
func entriesExact(t *tester, s session.Indexed) {
	want := map[session.Key]string{}
	for i, k := range hostileKeys() {
		want[k] = fmt.Sprintf("\x00 session \xff\xfe %d \r\n", i)
		t.update(k, want[k], ttl)
	}
	exact := func(from string, e session.Entry) {
		if want[e.Key] != string(e.Session) || want[e.Key] == "" {
			t.Errorf("%s shows %s with %s; want a key and its session, byte for byte", from, show(e.Key), brief(string(e.Session)))
		}
	}
	for e, err := range s.All(t.ctx) {
		if err != nil {
			t.Fatalf("All yields %v", err)
		}
		exact("All", e)
	}
	for k := range want {
		for _, e := range t.selectAll(s, k.Partial) {
			exact("SelectSession", e)
		}
	}
	for k := range want {
		e, err := s.TakeNewest(t.ctx, k.Partial, false)
		if err != nil {
			t.Errorf("TakeNewest(%s) = %v; want one of its sessions", brief(k.Partial), err)
			continue
		}
		exact("TakeNewest", e)
	}
}

// limitsAny: a limit is no size to allocate or to add to.
func limitsAny(t *tester, s session.Indexed) {
	const n = 450
	for i := range n {
		t.update(key("host", i), fmt.Sprint(i), ttl)
	}
	for _, limit := range []int{0, -1, math.MinInt, math.MaxInt, math.MaxInt32, n, n - 1, 200} {
		want := n
		if limit > 0 {
			want = min(limit, n)
		}
		if got, err := s.SelectSession(t.ctx, "host", limit); len(got) != want || err != nil {
			t.Errorf("SelectSession() with limit %d = %d sessions, %v; want %d", limit, len(got), err, want)
		}
	}
	if got, err := s.DeletePartial(t.ctx, "host"); got != n || err != nil {
		t.Errorf("DeletePartial() = %d, %v; want %d", got, err, n)
	}
}
