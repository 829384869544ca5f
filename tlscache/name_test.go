package tlscache

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
		{"2001:DB8::A", "2001:DB8::A"},
		{"fe80::1%Eth0", "fe80::1%Eth0"},
		{"xn--BCHER-KVA.example", "xn--bcher-kva.example"},
		{"\u212aelvin.example", "\u212aelvin.example"}, // the Kelvin sign is no k
		{"\xffA", "\xffa"},
	} {
		if got := normalName(tt.name); got != tt.want {
			t.Errorf("normalName(%q) = %q; want %q", tt.name, got, tt.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { normalName("www.example.com") }); n != 0 {
		t.Errorf("normalName of a normal name allocates %v times; want 0", n)
	}
}
