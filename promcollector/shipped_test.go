package promcollector_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

const (
	rules     = "alerts/sessioncache.rules.yml"
	dashboard = "grafana/dashboard.json"
	page      = "../docs/metrics.md"
)

// families are the names of all metrics.
func families(t *testing.T) map[string]string {
	t.Helper()
	help := map[string]string{}
	for _, f := range must(everything(t).Gather()) {
		help[f.GetName()] = f.GetHelp()
	}
	return help
}

func TestRulesDashboardAndPageNameMetricsThatExist(t *testing.T) {
	known := families(t)
	metric := regexp.MustCompile(`tlssession_[a-z_]+`)
	for _, file := range []string{rules, "alerts/rules_test.yml", dashboard, page} {
		named := metric.FindAllString(string(must(os.ReadFile(file))), -1)
		if len(named) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, name := range named {
			if _, ok := known[name]; !ok {
				t.Errorf("%s names %s, which does not exist", file, name)
			}
		}
	}
}

func TestThePageListsEveryMetricWithItsHelp(t *testing.T) {
	text := string(must(os.ReadFile(page)))
	for name, help := range families(t) {
		if row := "| `" + name + "` | " + help + " |"; !strings.Contains(text, row) {
			t.Errorf("%s lacks the row\n%s", page, row)
		}
	}
}

func TestEachAlertHasATestThatFiresAndOneThatIsQuiet(t *testing.T) {
	text, tests := string(must(os.ReadFile(rules))), string(must(os.ReadFile("alerts/rules_test.yml")))
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(text, -1)
	for _, alert := range alerts {
		for _, want := range []string{alert[1] + " fires\n", alert[1] + " is quiet\n"} {
			if !strings.Contains(tests, "name: "+want) {
				t.Errorf("rules_test.yml has no test named %q", want)
			}
		}
	}
	for _, part := range []string{"summary: ", "description: ", "action: "} {
		if got := strings.Count(text, part); got != len(alerts) {
			t.Errorf("%d alerts have %d times %q; want one each", len(alerts), got, part)
		}
	}
}

// need returns the path of a program of Prometheus, or skips the test where SKIP leaves the part out.
func need(t *testing.T, program string) string {
	t.Helper()
	if strings.Contains(" "+strings.ReplaceAll(os.Getenv("SKIP"), ",", " ")+" ", " prometheus ") {
		t.Skip("SKIP leaves out prometheus")
	}
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: scripts/tools.sh installs it, SKIP=prometheus leaves its tests out", program)
	}
	return path
}

func TestPromtoolPassesTheTestsOfTheRules(t *testing.T) {
	if out, err := exec.Command(need(t, "promtool"), "test", "rules", "alerts/rules_test.yml").CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
