package report

import (
	"fmt"
	"math"
	"strings"
)

// duration formats seconds with three digits.
func duration(sec float64) string {
	for _, u := range []struct {
		unit string
		size float64
	}{{"s", 1}, {"ms", 1e-3}, {"µs", 1e-6}, {"ns", 1e-9}} {
		if math.Abs(sec) >= u.size || u.unit == "ns" {
			return digits(sec/u.size) + " " + u.unit
		}
	}
	return ""
}

// digits formats a number with three digits or as an integer.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// value formats a value of a unit.
func value(v float64, unit string) string {
	switch {
	case strings.Contains(unit, "sec"):
		return duration(v)
	case strings.HasSuffix(unit, "%"):
		return fmt.Sprintf("%.2f %%", v)
	case strings.HasPrefix(unit, "B/"):
		return fmt.Sprintf("%.0f B", v)
	default:
		return digits(v)
	}
}

// spread formats how far the interval of a summary reaches from its center.
func (s summary) spread() string {
	if s.n < 2 || s.center == 0 {
		return ""
	}
	return fmt.Sprintf(" ± %.0f %%", 100*math.Max(s.hi/s.center-1, 1-s.lo/s.center))
}

// times formats a ratio and its interval.
func (s summary) times() string {
	if s.n < 2 {
		return fmt.Sprintf("%.2f ×", s.center)
	}
	return fmt.Sprintf("%.2f × (%.2f–%.2f)", s.center, s.lo, s.hi)
}

// A table is a Markdown table. The first column is text, the others are numbers.
type table struct {
	b    strings.Builder
	cols int
}

func newTable(head ...string) *table {
	t := &table{cols: len(head)}
	t.row(head...)
	t.b.WriteString("|---|" + strings.Repeat("--:|", len(head)-1) + "\n")
	return t
}

func (t *table) row(cols ...string) {
	if len(cols) != t.cols {
		panic(fmt.Sprintf("report: a row of %d columns in a table of %d", len(cols), t.cols))
	}
	t.b.WriteString("| " + strings.Join(cols, " | ") + " |\n")
}

func (t *table) String() string { return t.b.String() }
