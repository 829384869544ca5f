package report

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/scenario"
)

// A theme colours a plot for pages that are light, or dark.
type theme struct {
	suffix            string // of the file's name
	paper, ink, faint color.Color
	colors            map[string]color.Color // by cache
	other             color.Color
}

func hex(rgb uint32) color.Color {
	return color.NRGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: 0xff}
}

var themes = []theme{
	{
		paper: hex(0xffffff), ink: hex(0x1f2328), faint: hex(0xd1d9e0), other: hex(0x8b949e),
		colors: map[string]color.Color{
			ours: hex(0x0550ae), noIndex: hex(0x54aeff), otter: hex(0xcf222e), "otter-coarse": hex(0xff8182),
			"theine": hex(0x1a7f37), "ristretto": hex(0xbf8700), "ttlcache": hex(0x8250df), floor: hex(0x57606a), "xsync3": hex(0xafb8c1),
			peers.FIFO: hex(0xafb8c1), peers.LRU: hex(0x57606a), "sturdyc": hex(0xbf3989), scenario.TLSLRU: hex(0x57606a),
		},
	},
	{
		suffix: "-dark",
		paper:  hex(0x0d1117), ink: hex(0xe6edf3), faint: hex(0x3d444d), other: hex(0x8b949e),
		colors: map[string]color.Color{
			ours: hex(0x58a6ff), noIndex: hex(0xa5d6ff), otter: hex(0xff7b72), "otter-coarse": hex(0xa33b36),
			"theine": hex(0x3fb950), "ristretto": hex(0xe3b341), "ttlcache": hex(0xbc8cff), floor: hex(0xb1bac4), "xsync3": hex(0x6e7681),
			peers.FIFO: hex(0x6e7681), peers.LRU: hex(0xb1bac4), "sturdyc": hex(0xf778ba), scenario.TLSLRU: hex(0xb1bac4),
		},
	},
}

func (t theme) color(cache string) color.Color {
	if c, ok := t.colors[cache]; ok {
		return c
	}
	return t.other
}

// new returns an empty plot in the theme's colours.
func (t theme) new(title, x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = t.paper
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	sans := func(size vg.Length) font.Font {
		return font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size)
	}
	p.Title.TextStyle.Font, p.Title.TextStyle.Color = sans(14), t.ink
	p.Title.Padding = vg.Points(10)
	p.Legend.TextStyle.Font, p.Legend.TextStyle.Color = sans(11), t.ink
	p.Legend.Top, p.Legend.Padding = true, vg.Points(3)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font, a.Label.TextStyle.Color = sans(11), t.ink
		a.Tick.Label.Font, a.Tick.Label.Color = sans(11), t.ink
		a.LineStyle.Color, a.Tick.LineStyle.Color = t.faint, t.faint
	}
	return p
}

// grid draws lines behind the data. Bars need them in one direction only.
func (t theme) grid(p *plot.Plot, vertical bool) {
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Color = t.faint, t.faint
	g.Horizontal.Dashes, g.Vertical.Dashes = nil, nil
	if !vertical {
		g.Vertical.Color = nil
	}
	p.Add(g)
}

// line draws a cache's points with lines between them, ours thicker than the others.
func (t theme) line(p *plot.Plot, cache string, xys plotter.XYs) error {
	line, points, err := plotter.NewLinePoints(xys)
	if err != nil {
		return err
	}
	line.Color, line.Width = t.color(cache), vg.Points(1.5)
	if found, ok := peers.Find(cache); ok && found.Class == peers.Ours {
		line.Width = vg.Points(3)
	}
	points.Color, points.Shape, points.Radius = line.Color, draw.CircleGlyph{}, vg.Points(3)
	p.Add(line, points)
	p.Legend.Add(cache, line, points)
	return nil
}

// save writes plots side by side into one file. Fonts are those of the reader, with fallbacks of
// the same widths.
func (t theme) save(path string, w, h vg.Length, plots ...*plot.Plot) error {
	c := vgsvg.New(w, h)
	dc := draw.New(c)
	dc.SetColor(t.paper) // the gaps between plots are paper, too
	dc.Fill(vg.Rectangle{Max: vg.Point{X: w, Y: h}}.Path())
	for i, p := range plots {
		left, right := part(w, i, len(plots)), part(w, i+1, len(plots))
		p.Draw(draw.Crop(dc, left+vg.Points(6), right-w-vg.Points(10), vg.Points(6), -vg.Points(6)))
	}
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return err
	}
	out := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif"))
	return os.WriteFile(path, out, 0o666)
}

func part(w vg.Length, i, n int) vg.Length { return w * vg.Length(i) / vg.Length(n) }

// picture writes a plot in each theme and returns the Markdown that shows the fitting one. draw
// returns no plots where there is nothing to show.
func picture(dir, name, alt string, w, h vg.Length, draw func(theme) ([]*plot.Plot, error)) (string, error) {
	for _, t := range themes {
		plots, err := draw(t)
		if err != nil || len(plots) == 0 {
			return "", err
		}
		file := filepath.Join(dir, "compare-"+name+t.suffix+".svg")
		if err := t.save(file, w, h, plots...); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("<picture>\n  <source media=\"(prefers-color-scheme: dark)\" srcset=\"compare-%[1]s-dark.svg\">\n"+
		"  <img alt=\"%[2]s\" src=\"compare-%[1]s.svg\">\n</picture>\n\n", name, alt), nil
}

// dots draws a cache's points, ours larger than the others: there is no way from trace to trace.
func (t theme) dots(p *plot.Plot, cache string, xys plotter.XYs) error {
	points, err := plotter.NewScatter(xys)
	if err != nil {
		return err
	}
	points.Color, points.Shape, points.Radius = t.color(cache), draw.CircleGlyph{}, vg.Points(3.5)
	if found, ok := peers.Find(cache); ok && found.Class == peers.Ours {
		points.Shape, points.Radius = draw.BoxGlyph{}, vg.Points(5)
	}
	p.Add(points)
	p.Legend.Add(cache, points)
	return nil
}
