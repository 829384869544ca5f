package scenario

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

// OTP is the session store of Erlang/OTP's ssl application, which only the otp scenario measures.
const OTP = "otp-ets"

var otpScenarios = []Scenario{
	{Name: "otp", Doc: "OTP's own client store (an ETS table) and fastcache, 1 M sessions, one process or goroutine", Takes: hasIndex, Extra: []string{OTP}, Run: otp, Rounds: 3},
}

//go:embed ets.escript
var etsScript []byte

func otp(env Env, p peers.Peer) ([]Result, error) {
	if p.Name == OTP {
		return runErlang(env.million())
	}
	filled, err := fill(p, workload.LoadOf(env.million()))
	if err != nil {
		return nil, err
	}
	defer filled.Close()
	c := filled.Cache.(unwrapper).Unwrap()
	t := filled.load.Uniform(env.scaled(200_000))
	perHost := filled.load.Sessions / filled.load.Hosts
	all := filled.load.All()
	ops := []struct {
		name string
		n    int
		do   func(i int) bool
	}{
		{"lookup", t.Len(), func(i int) bool { _, ok := filled.Get(t.Key(i)); return ok }},
		{"update", t.Len(), func(i int) bool { filled.Set(t.Key(i), &filled.sessions[t.Number(i)]); return true }},
		{"select", min(t.Len(), 20_000), func(i int) bool {
			n := 0
			for range c.SelectSession(t.Key(i)[:workload.PartialLen]) {
				n++
			}
			return n == perHost
		}},
		{"delete", min(t.Len(), all.Len()/2), func(i int) bool { return c.Delete(peers.SplitKey(all.Key(i))) }},
	}
	var out []Result
	for _, op := range ops {
		began := time.Now()
		for i := range op.n {
			if !op.do(i) {
				return nil, fmt.Errorf("%s: %s %d went wrong", p.Name, op.name, i)
			}
		}
		ns := float64(time.Since(began).Nanoseconds()) / float64(op.n)
		out = append(out, Result{"op=" + op.name, op.n, []Metric{{ns, "ns/op"}}})
	}
	return out, nil
}

// runErlang runs the Erlang program and returns its lines as results.
func runErlang(sessions int) ([]Result, error) {
	if _, err := exec.LookPath("escript"); err != nil {
		return nil, fmt.Errorf("escript is not installed (Debian: erlang-base)")
	}
	dir, err := os.MkdirTemp("", "ets")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "ets.escript")
	if err := os.WriteFile(script, etsScript, 0o600); err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.Command("escript", script, strconv.Itoa(sessions))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("escript: %w: %s%s", err, out, stderr.Bytes())
	}
	return parseErlang(string(out))
}

// parseErlang reads "Benchmark.../op=NAME-1 N value unit value unit" lines.
func parseErlang(out string) (results []Result, err error) {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		_, op, ok := strings.Cut(strings.TrimSuffix(f[0], "-1"), "/op=")
		if !ok || len(f) < 4 || len(f)%2 != 0 {
			return nil, fmt.Errorf("escript printed %q", line)
		}
		r := Result{Sub: "op=" + op}
		if r.N, err = strconv.Atoi(f[1]); err != nil {
			return nil, err
		}
		for i := 2; i < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return nil, err
			}
			r.Metrics = append(r.Metrics, Metric{v, f[i+1]})
		}
		results = append(results, r)
	}
	return results, nil
}
