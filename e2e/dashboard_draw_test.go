package e2e

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
	"testing"
)

// The picture's measures, in pixels: Grafana's grid has 24 columns.
const (
	pictureWidth = 1400
	headHeight   = 46
	gridWidth    = (pictureWidth - 16) / 24.0
	gridHeight   = 26.0
	gap          = 8.0
	titleHeight  = 26.0
)

// colors are those of Grafana's dark theme by which the dashboard calls them, or near them.
var colors = map[string]string{
	"green": "#73bf69", "yellow": "#f2cc0c", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2", "purple": "#b877d9",
	"light-green": "#96d98d", "super-light-green": "#c8f2c2", "light-orange": "#ffb357", "dark-yellow": "#cc9d00",
	"light-red": "#ff7383", "dark-red": "#c4162a", "semi-dark-purple": "#a352cc", "text": "#ccccdc",
}

var palette = []string{"#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0"}

// color returns a colour by Grafana's name for it.
func (c *canvas) color(name string) string {
	color, known := colors[cmp.Or(name, "text")]
	if !known {
		c.t.Fatalf("the colour %q", name)
	}
	return color
}

// canvas is a picture that grows.
type canvas struct {
	strings.Builder
	t    *testing.T
	view view
}

// draw returns the dashboard as a page: not by Grafana, but from the same file, in the same places, with the same data.
// height is the page's.
func (v view) draw(t *testing.T) (page string, height int) {
	t.Helper()
	c := &canvas{t: t, view: v}
	bottom := 0.0
	for _, p := range v.dashboard.Panels {
		x, y := 8+float64(p.GridPos.X)*gridWidth, headHeight+float64(p.GridPos.Y)*gridHeight
		w, h := float64(p.GridPos.W)*gridWidth-gap, float64(p.GridPos.H)*gridHeight-gap
		bottom = max(bottom, y+h)
		if p.Type == "row" {
			c.text(x+4, y+h-2, "row", "start", "", "▾ "+p.Title)
			continue
		}
		c.printf(`<g transform="translate(%.1f %.1f)"><rect class="panel" width="%.1f" height="%.1f" rx="3"/>`, x, y, w, h)
		switch p.Type {
		case "stat":
			c.stat(p, w, h)
		case "timeseries":
			c.graph(p, w, h)
		case "table":
			c.table(p, w, h)
		default:
			t.Fatalf("%s is a %s", p.Title, p.Type)
		}
		c.text(10, 18, "title", "start", "", p.Title)
		c.printf("</g>")
	}
	height = int(bottom + gap)
	return fmt.Sprintf(`<!doctype html><meta charset="utf-8"><title>%[1]s</title><style>
body { margin: 0; background: #111217 }
svg { display: block; font-family: Inter, "DejaVu Sans", Helvetica, Arial, sans-serif }
text { fill: #ccccdc; font-size: 11px }
.head { font-size: 17px; font-weight: 500 }
.row { font-size: 15px; font-weight: 500 }
.title { font-size: 12.5px; font-weight: 500 }
.big { font-size: 30px; font-weight: 600 }
.dim { fill: #9a9aab; font-size: 10.5px }
.panel { fill: #181b1f; stroke: #24272d }
.chip { fill: #181b1f; stroke: #34363d }
.grid { stroke: #2a2d33; stroke-width: 1 }
</style><svg xmlns="http://www.w3.org/2000/svg" width="%[2]d" height="%[3]d">%[4]s%[5]s</svg>`,
		html.EscapeString(v.dashboard.Title), pictureWidth, height, c.head(), c.String()), height
}

// head is the line with the variables and the time.
func (c *canvas) head() string {
	h := &canvas{t: c.t, view: c.view}
	h.text(14, 29, "head", "start", "", c.view.dashboard.Title)
	x := 170.0
	for _, variable := range c.view.dashboard.Templating.List {
		value := "All"
		if variable.Type == "datasource" {
			value = "the one"
		}
		h.chip(&x, variable.Label+": "+value)
	}
	time := fmt.Sprintf("%s to %s UTC", clock(float64(c.view.from.Unix())), clock(float64(c.view.to.Unix())))
	x = pictureWidth - 16 - 24 - textWidth(time)
	h.chip(&x, time)
	return h.String()
}

func (c *canvas) chip(x *float64, text string) {
	w := textWidth(text) + 24
	c.printf(`<rect class="chip" x="%.1f" y="12" width="%.1f" height="24" rx="3"/>`, *x, w)
	c.text(*x+12, 28, "", "start", "", text)
	*x += w + 8
}

func (c *canvas) printf(format string, arguments ...any) { fmt.Fprintf(c, format, arguments...) }

// text writes it with its anchor at x, in a colour of its own if one is given.
func (c *canvas) text(x, y float64, class, anchor, color, text string) {
	style := ""
	if color != "" {
		style = ` style="fill:` + color + `"`
	}
	c.printf(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s"%s>%s</text>`, x, y, class, anchor, style, html.EscapeString(text))
}

// textWidth is near enough for a legend.
func textWidth(text string) float64 { return 6.3 * float64(len([]rune(text))) }

func (c *canvas) stat(p panel, w, h float64) {
	f := p.FieldConfig.Defaults
	text, name := f.NoValue, "text"
	if answer := c.view.evaluate(c.t, p.Targets[0]); len(answer) > 0 {
		text, name = f.write(c.t, answer[0].last())
	}
	c.printf(`<rect width="%.1f" height="%.1f" rx="3" fill="%s" fill-opacity="0.28"/>`, w, h, c.color(name))
	c.text(w/2, h/2+20, "big", "middle", c.color(name), text)
}

// curve is a series of a graph.
type curve struct {
	name, color string
	points      []point
	field       field
}

func (c *canvas) curves(p panel) (curves []curve) {
	for _, target := range p.Targets {
		answer := c.view.evaluate(c.t, target)
		slices.SortFunc(answer, func(a, b series) int { return strings.Compare(target.legend(a), target.legend(b)) })
		for _, one := range answer {
			name := target.legend(one)
			curve := curve{name: name, points: one.points, field: p.field(c.t, name), color: palette[len(curves)%len(palette)]}
			if curve.field.Color.Mode == "fixed" {
				curve.color = c.color(curve.field.Color.FixedColor)
			}
			curves = append(curves, curve)
		}
	}
	return curves
}

// frame is where a graph's values lie in its panel.
type frame struct {
	left, right, top, bottom float64
	from, to, high           float64
}

func (f frame) x(time float64) float64 { return f.left + (time-f.from)/(f.to-f.from)*(f.right-f.left) }

func (f frame) y(value float64) float64 { return f.bottom - value/f.high*(f.bottom-f.top) }

func (c *canvas) graph(p panel, w, h float64) {
	curves := c.curves(p)
	unit := p.FieldConfig.Defaults
	f := frame{left: 56, right: w - 12, top: titleHeight + 8, bottom: h - 44,
		from: float64(c.view.from.Unix()), to: float64(c.view.to.Unix())}
	high := highest(curves, unit.Custom.Stacking.Mode == "normal")
	step := niceStep(high, unit)
	f.high = step * max(1, math.Ceil(high/step*1.02))
	for i := range int(math.Round(f.high/step)) + 1 {
		value := float64(i) * step
		c.printf(`<path class="grid" d="M%.1f %.1fH%.1f"/>`, f.left, f.y(value), f.right)
		c.text(f.left-6, f.y(value)+4, "dim", "end", "", field{Unit: unit.Unit}.number(value))
	}
	for at := math.Ceil(f.from/60) * 60; at <= f.to; at += 60 {
		c.printf(`<path class="grid" d="M%.1f %.1fV%.1f"/>`, f.x(at), f.top, f.bottom)
		c.text(min(f.x(at), f.right-20), f.bottom+14, "dim", "middle", "", clock(at))
	}
	if len(curves) == 0 {
		c.text((f.left+f.right)/2, (f.top+f.bottom)/2, "", "middle", "", cmp.Or(unit.NoValue, "No data"))
	}
	below := map[float64]float64{} // what is stacked
	for _, curve := range curves {
		switch {
		case curve.field.Custom.DrawStyle == "bars":
			c.bars(f, curve, below)
		case curve.field.Custom.Stacking.Mode == "normal":
			c.area(f, curve, below)
		default:
			c.line(f, curve)
		}
	}
	c.exemplars(p, f)
	c.legend(curves, w, h)
}

func (c *canvas) exemplars(p panel, f frame) {
	for _, target := range p.Targets {
		if !target.Exemplar {
			continue
		}
		for _, exemplar := range c.view.exemplars(c.t, target) {
			if exemplar.value <= f.high && exemplar.time >= f.from {
				c.printf(`<path d="M%.1f %.1fm0 -3l3 3l-3 3l-3 -3z" fill="#6ed0e0" fill-opacity="0.75"/>`, f.x(exemplar.time), f.y(exemplar.value))
			}
		}
	}
}

func (c *canvas) legend(curves []curve, w, h float64) {
	x := 14.0
	for _, curve := range curves {
		if x+textWidth(curve.name)+20 > w-8 {
			c.text(x, h-10, "dim", "start", "", "…")
			return
		}
		c.printf(`<rect x="%.1f" y="%.1f" width="13" height="4" rx="1" fill="%s"/>`, x, h-16, curve.color)
		c.text(x+18, h-10, "", "start", "", curve.name)
		x += textWidth(curve.name) + 34
	}
}

// line has a gap where there is no point.
func (c *canvas) line(f frame, curve curve) {
	var path strings.Builder
	var started, last float64
	end := func() {
		if path.Len() == 0 {
			return
		}
		if opacity := curve.field.Custom.FillOpacity; opacity > 0 {
			c.printf(`<path d="%sV%.1fH%.1fZ" fill="%s" fill-opacity="%.2f"/>`, &path, f.bottom, f.x(started), curve.color, opacity/100)
		}
		c.printf(`<path d="%s" fill="none" stroke="%s" stroke-width="1.6"/>`, &path, curve.color)
		path.Reset()
	}
	for _, p := range curve.points {
		if math.IsNaN(p.value) || p.time-last > 1.5*c.view.step.Seconds() {
			end()
		}
		switch {
		case math.IsNaN(p.value):
			continue
		case path.Len() == 0:
			started = p.time
			fmt.Fprintf(&path, "M%.1f %.1f", f.x(p.time), f.y(p.value))
		case curve.field.Custom.LineInterpolation == "stepAfter":
			fmt.Fprintf(&path, "H%.1fV%.1f", f.x(p.time), f.y(p.value))
		default:
			fmt.Fprintf(&path, "L%.1f %.1f", f.x(p.time), f.y(p.value))
		}
		last = p.time
	}
	end()
}

func (c *canvas) bars(f frame, curve curve, below map[float64]float64) {
	width := (f.x(f.from+c.view.step.Seconds()) - f.left) * 0.85
	for _, p := range curve.points {
		if p.value > 0 {
			base := below[p.time]
			c.printf(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" fill-opacity="0.85"/>`,
				min(max(f.x(p.time)-width/2, f.left), f.right-width), f.y(base+p.value), width, f.y(base)-f.y(base+p.value), curve.color)
			below[p.time] += p.value
		}
	}
}

func (c *canvas) area(f frame, curve curve, below map[float64]float64) {
	var top, bottom []string
	for _, p := range curve.points {
		bottom = append(bottom, fmt.Sprintf("%.1f %.1f", f.x(p.time), f.y(below[p.time])))
		if !math.IsNaN(p.value) {
			below[p.time] += p.value
		}
		top = append(top, fmt.Sprintf("%.1f %.1f", f.x(p.time), f.y(below[p.time])))
	}
	line := "M" + strings.Join(top, "L")
	slices.Reverse(bottom)
	c.printf(`<path d="%sL%sZ" fill="%s" fill-opacity="%.2f"/><path d="%s" fill="none" stroke="%s" stroke-width="1.4"/>`,
		line, strings.Join(bottom, "L"), curve.color, curve.field.Custom.FillOpacity/100, line, curve.color)
}

func (c *canvas) table(p panel, w, h float64) {
	table := c.view.table(c.t, p)
	left := make([]float64, len(table.columns))
	x := 12.0
	for i, name := range table.columns { // as wide as what is in it, and the rest of the panel shared
		left[i] = x
		widest := textWidth(name)
		for _, row := range table.rows {
			text, _ := c.cell(p, name, row[i])
			widest = max(widest, textWidth(text))
		}
		x += widest + 8
	}
	spare := max(0, w-x) / float64(len(left))
	y := titleHeight + 16
	for i, name := range table.columns {
		left[i] += float64(i) * spare
		c.text(left[i], y, "dim", "start", "#6e9fff", name)
	}
	for _, row := range table.rows {
		c.printf(`<path class="grid" d="M10 %.1fH%.1f"/>`, y+7, w-10)
		if y += 22; y > h-4 {
			break
		}
		for i, cell := range row {
			text, color := c.cell(p, table.columns[i], cell)
			c.text(left[i], y, "", "start", color, text)
		}
	}
	if len(table.rows) == 0 {
		c.text(w/2, h/2, "", "middle", "", p.FieldConfig.Defaults.NoValue)
	}
}

func (c *canvas) cell(p panel, column string, cell any) (text, color string) {
	f := p.field(c.t, column)
	switch cell := cell.(type) {
	case string:
		if found, ok := f.mapped(c.t, cell, math.NaN()); ok {
			return found.Text, c.color(found.Color)
		}
		return cell, c.color("")
	case float64:
		text, name := f.write(c.t, cell)
		return text, c.color(name)
	}
	return "", c.color("")
}

// highest is the top of a graph.
func highest(curves []curve, stacked bool) float64 {
	top, sums := 0.0, map[float64]float64{}
	for _, curve := range curves {
		for _, p := range curve.points {
			if math.IsNaN(p.value) {
				continue
			}
			sums[p.time] += p.value
			if stacked {
				top = max(top, sums[p.time])
			} else {
				top = max(top, p.value)
			}
		}
	}
	return top
}

// niceStep divides an axis into some four parts, of round numbers.
func niceStep(high float64, f field) float64 {
	if high <= 0 {
		return 1
	}
	size := math.Pow(10, math.Floor(math.Log10(high/4)))
	for _, factor := range []float64{1, 2, 2.5, 5, 10} {
		step := size * factor
		if high/step <= 4.5 && (f.Decimals == nil || *f.Decimals > 0 || step >= 1) {
			return step
		}
	}
	return max(1, size*10)
}
