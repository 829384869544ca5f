package main

import (
	"bytes"
	"strings"
	"testing"
)

// Whatever stands in the place of a number, the error names the flag, what stands there, and what may.
func TestBadValuesNameTheFlagTheValueAndTheRange(t *testing.T) {
	const (
		hosts, clients, duration = "1 to 100000", "1 to 1000", "1s to 1h0m0s"
		frame                    = "262144 to 67108864"
	)
	for _, tt := range []struct {
		command, flag, value, want string
	}{
		{"demo", "-hosts", "0", hosts}, {"demo", "-hosts", "-1", hosts}, {"demo", "-hosts", "many", hosts}, {"demo", "-hosts", "1.5", hosts},
		{"demo", "-hosts", "1e3", hosts}, {"demo", "-hosts", "99999999999999999999", hosts},
		{"demo", "-clients", "0", clients}, {"demo", "-clients", "1001", clients}, {"demo", "-clients", "x", clients}, {"demo", "-clients", " 1", clients},
		{"demo", "-duration", "-1s", duration}, {"demo", "-duration", "20", duration}, {"demo", "-duration", "0", "1s to 1h0m0s"},
		{"demo", "-duration", "1d", duration}, {"demo", "-duration", "999999h", duration}, {"demo", "-duration", "9999999999h", duration},
		{"demo", "-json", "maybe", "boolean"},
		{"otp-port", "-max-sessions", "0", "at least 1"}, {"otp-port", "-max-sessions", "x", "from 1"},
		{"otp-port", "-max-bytes", "-5", "at least 1"}, {"otp-port", "-max-bytes", "10", "more than 200"},
		{"otp-port", "-max-bytes", "1GB", "from 1"},
		{"otp-port", "-ttl", "-1s", "more than 0"}, {"otp-port", "-ttl", "0", "more than 0"}, {"otp-port", "-ttl", "25", "above 0"},
		{"otp-port", "-max-frame", "1", frame}, {"otp-port", "-max-frame", "67108865", frame}, {"otp-port", "-max-frame", "1MB", frame},
	} {
		var stdout, stderr bytes.Buffer
		code := run([]string{tt.command, tt.flag + "=" + tt.value}, &stdout, &stderr)
		said := stderr.String()
		value := strings.TrimSuffix(tt.value, "99h") // a duration is told as Go writes it: 999999h0m0s
		if tt.value == "0" && strings.HasSuffix(tt.flag, "n") || tt.value == "0" && tt.flag == "-ttl" {
			value = "0s"
		}
		for _, want := range []string{"sessioncache " + tt.command, tt.flag, value, tt.want} {
			if !strings.Contains(said, want) {
				t.Errorf("%s %s=%s: %q; want %q in it", tt.command, tt.flag, tt.value, said, want)
			}
		}
		if code != exitUsage || stdout.Len() > 0 || strings.Count(said, "\n") != 1 {
			t.Errorf("%s %s=%s: exit status %d, stdout %q, stderr %q; want 2, nothing and one line", tt.command, tt.flag, tt.value, code, &stdout, said)
		}
	}
}

func TestHelpShowsDefaults(t *testing.T) {
	for command, wants := range map[string][]string{
		"demo":     {"-hosts number", "(default 300)", "-clients number", "(default 16)", "-duration duration", "(default 20s)"},
		"otp-port": {"-max-sessions number", "(default 2000)", "-max-bytes bytes", "(default 134217728)", "-ttl duration", "(default 25h0m0s)", "(default 1048576)"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run([]string{"help", command}, &stdout, &stderr); code != exitOK || stderr.Len() > 0 {
			t.Errorf("help %s: exit status %d, stderr %q", command, code, &stderr)
		}
		for _, want := range wants {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("help %s lacks %q:\n%s", command, want, &stdout)
			}
		}
	}
}
