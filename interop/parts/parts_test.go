package parts

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestSkipLeavesOutItsPartsAndNoOthers(t *testing.T) {
	for value, skips := range map[string]bool{"": false, "nginx": false, "otp": true, "nginx otp": true, "otp,nginx": true} {
		t.Setenv("SKIP", value)
		ran := false
		t.Run("needs otp", func(t *testing.T) {
			Need(t, "otp")
			ran = true
		})
		if ran == skips {
			t.Errorf("SKIP=%q: the test ran: %v; want %v", value, ran, !skips)
		}
	}
}

func TestSkipNamesPartsOnly(t *testing.T) {
	for _, value := range []string{"opt", "otp race", "OTP", "otp;nginx"} {
		if names, err := parse(value); err == nil || !strings.Contains(err.Error(), "the parts are curl, nginx, openssl, otp, prometheus, redis, valkey") {
			t.Errorf("SKIP=%q: %q, error %v; want an error that lists the parts", value, names, err)
		}
	}
}

// The script reads SKIP itself: it runs before there is a Go to ask.
func TestToolsKnowTheSameParts(t *testing.T) {
	cmd := exec.Command("bash", "../../scripts/tools.sh")
	cmd.Env = append(os.Environ(), "SKIP=otp nonsense")
	out, err := cmd.CombinedOutput()
	if want := `SKIP names "nonsense"; the parts are ` + strings.Join(known, ", "); err == nil || !strings.Contains(string(out), want) {
		t.Errorf("tools.sh: error %v, output %q; want a failure and %q", err, out, want)
	}
	if !slices.IsSorted(known) {
		t.Errorf("parts %q; want them sorted", known)
	}
}
