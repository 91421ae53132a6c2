package tokensource_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// fleetHead sets the line colours and a background: the three colours cannot be distinguished on every background.
const fleetHead = `<svg xmlns="http://www.w3.org/2000/svg" width="760" height="640" viewBox="0 0 760 640" role="img" aria-label="Token requests of a fleet of brokers, with and without a shared store">
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.small { font-size: 12px; fill: #57606a }
.grid { stroke: #d8dee4; stroke-width: 1 }
.line { fill: none; stroke-width: 2; stroke-linejoin: round }
.separate { stroke: #8c959f }
.store { stroke: #0969da }
.dies { stroke: #bc4c00 }
.dot { stroke-width: 7; stroke-linecap: round }
text.separate { fill: #57606a; stroke: none }
text.store { fill: #0969da; stroke: none }
text.dies { fill: #bc4c00; stroke: none }
</style>
<rect width="760" height="640" fill="#ffffff"/>
`

// panel is a chart with a logarithmic axis upwards.
type panel struct {
	left, right, top, bottom float64
	decades                  float64 // of the axis upwards, which begins at 1
	b                        *strings.Builder
}

// y is where a value is; less than 1 is at the bottom.
func (p panel) y(value float64) float64 {
	return p.bottom - math.Log10(max(1, value))/p.decades*(p.bottom-p.top)
}

func (p panel) frame(title string) {
	fmt.Fprintf(p.b, "<text class=\"title\" x=\"20\" y=\"%.0f\">%s</text>\n", p.top-24, title)
	for power := range int(p.decades) + 1 {
		value := math.Pow10(power)
		fmt.Fprintf(p.b, "<path class=\"grid\" d=\"M%.0f %.1fH%.0f\"/>\n", p.left, p.y(value), p.right)
		p.text(p.left-8, p.y(value)+4, "end", "small", thousands(value))
	}
}

func (p panel) text(x, y float64, anchor, class, text string) {
	fmt.Fprintf(p.b, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", class, x, y, anchor, text)
}

func thousands(value float64) string {
	text := fmt.Sprintf("%.0f", value)
	if len(text) > 3 {
		text = text[:len(text)-3] + "," + text[len(text)-3:]
	}
	return text
}

// drawFleet draws two panels: how many token requests a fleet makes, and when it makes them.
func drawFleet(all []figures) string {
	var b strings.Builder
	b.WriteString(fleetHead)
	drawSizes(&b, all)
	drawSeconds(&b, all)
	b.WriteString("</svg>\n")
	return b.String()
}

func drawSizes(b *strings.Builder, all []figures) {
	p := panel{left: 80, right: 560, top: 60, bottom: 260, decades: 5, b: b}
	p.frame("Token requests in a lifetime of 300 s, by the number of replicas")
	x := func(replicas int) float64 {
		return p.left + 40 + (math.Log10(float64(replicas))-2)/2*(p.right-p.left-80)
	}
	for _, s := range []scenario{separate, shared} {
		var points []string
		var last figures
		for _, f := range all {
			if f.name != s.name {
				continue
			}
			last = f
			points = append(points, fmt.Sprintf("%.1f %.1f", x(f.replicas), p.y(f.perLifetime)))
			fmt.Fprintf(b, "<path class=\"dot %s\" d=\"M%.1f %.1fh0\"/>\n", s.class, x(f.replicas), p.y(f.perLifetime))
			label := thousands(f.perLifetime)
			if f.perLifetime < 10 {
				label = fmt.Sprintf("%.2f", f.perLifetime)
			}
			p.text(x(f.replicas), p.y(f.perLifetime)-10, "middle", s.class, label)
		}
		fmt.Fprintf(b, "<path class=\"line %s\" d=\"M%s\"/>\n", s.class, strings.Join(points, "L"))
		p.text(p.right+14, p.y(last.perLifetime)+4, "start", s.class, s.name)
	}
	for _, replicas := range []int{100, 1000, 10_000} {
		p.text(x(replicas), p.bottom+20, "middle", "small", thousands(float64(replicas)))
	}
}

// drawSeconds draws the requests of the largest fleet, second by second.
func drawSeconds(b *strings.Builder, all []figures) {
	p := panel{left: 80, right: 560, top: 370, bottom: 590, decades: 4, b: b}
	most := all[len(all)-1].replicas
	p.frame(fmt.Sprintf("Token requests in each second after a cold start of %s replicas at once", thousands(float64(most))))
	x := func(second float64) float64 {
		return p.left + 4 + second/fleetRecorded.Seconds()*(p.right-p.left-8)
	}
	label := p.top + 20
	var lines []string
	for _, f := range all {
		if f.replicas != most {
			continue
		}
		var d strings.Builder
		for second, n := range f.perSecond {
			if n > 0 { // a line for each second in which there were any: one request is a short one
				fmt.Fprintf(&d, "M%.1f %.1fV%.1f", x(float64(second)), p.bottom, min(p.y(float64(n)), p.bottom-8))
			}
		}
		lines = append(lines, fmt.Sprintf("<path class=\"line %s\" d=\"%s\"/>\n", f.class, d.String()))
		p.text(p.right+14, label, "start", f.class, f.name+":")
		p.text(p.right+14, label+17, "start", "small", fmt.Sprintf("%s in the first second,", thousands(float64(f.perSecond[0]))))
		p.text(p.right+14, label+34, "start", "small", fmt.Sprintf("%s in any other", thousands(float64(f.most(time.Second)))))
		label += 68
	}
	slices.Sort(lines) // the few requests with a store come last, and stay in sight
	b.WriteString(strings.Join(lines, ""))
	for second := 0.0; second <= fleetRecorded.Seconds(); second += 100 {
		p.text(x(second), p.bottom+20, "middle", "small", fmt.Sprintf("%.0f s", second))
	}
}
