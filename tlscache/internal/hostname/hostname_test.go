package hostname

import "testing"

func TestServerNamesCompareAsDNSDoes(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"", ""},
		{"example.com", "example.com"},
		{"Example.COM", "example.com"},
		{"example.com.", "example.com"},
		{"EXAMPLE.com..", "example.com"},
		{".", ""},
		{"192.0.2.1", "192.0.2.1"},
		{"2001:DB8::A", "2001:db8::a"},
		{"2001:0db8:0:0:0:0:0:a", "2001:db8::a"},
		{"[2001:DB8::A]", "2001:db8::a"},
		{"[2001:DB8::A]:443", "2001:db8::a"},
		{"[::1].", "::1"},
		{"::1:443", "::1:443"}, // an address, with brackets there would be a port
		{"fe80::1%Eth0", "fe80::1"},
		{"[fe80::1%25Eth0]:https", "fe80::1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"::FFFF:c000:201", "192.0.2.1"},
		{"192.0.2.1:443", "192.0.2.1"},
		{"192.0.2.1.", "192.0.2.1"},
		{"192.0.2.01", "192.0.2.01"}, // which net/netip takes for no address
		{"Example.com:443", "example.com"},
		{"example.com.:443", "example.com"},
		{"example.com:443.", "example.com"},
		{"example.com:", "example.com"},
		{"[example.com]:443", "example.com"},
		{":443", ":443"}, // the empty name stands for something else
		{"a:b c", "a:b c"},
		{"a:1:2", "a:1:2"},
		{"[a:1]", "[a:1]"},
		{"[]", "[]"},
		{"[", "["},
		{"b\u00fccher.example", "xn--bcher-kva.example"},
		{"B\u00dcCHER.Example.", "xn--bcher-kva.example"},
		{"m\u00fcnchen.\u4f8b\u3048.\u30c6\u30b9\u30c8:443", "xn--mnchen-3ya.xn--r8jz45g.xn--zckzah"},
		{"fa\u00df.example", "xn--fa-hia.example"},
		{"\u03c0\u03b1\u03c1\u03ac\u03b4\u03b5\u03b9\u03b3\u03bc\u03b1.example", "xn--hxajbheg2az3al.example"},
		{"\U0001f600x.example", "xn--x-iv3s.example"},
		{"\u00fc@a", "\u00fc@a"}, // no host name
		{"xn--BCHER-KVA.example", "xn--bcher-kva.example"},
		{"\u212aelvin.example", "\u212aelvin.example"}, // the Kelvin sign is no k
		{"\xffA", "\xffa"},
	} {
		if got := Normal(tt.name); got != tt.want {
			t.Errorf("Normal(%q) = %q; want %q", tt.name, got, tt.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { Normal("www.example.com") }); n != 0 {
		t.Errorf("Normal of a normal name allocates %v times; want 0", n)
	}
}
