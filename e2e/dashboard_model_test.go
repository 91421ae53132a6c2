package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// field is how Grafana writes and colours what a panel shows.
type field struct {
	Unit, NoValue string
	Decimals      *int
	Mappings      []mapping
	Thresholds    struct {
		Steps []struct {
			Color string
			Value *float64
		}
	}
	Color  struct{ Mode, FixedColor string }
	Custom struct {
		DrawStyle, LineInterpolation string
		FillOpacity                  float64
		Stacking                     struct{ Mode string }
	}
}

type mapping struct {
	Type    string
	Options json.RawMessage
}

type mapped struct{ Text, Color string }

type override struct {
	Matcher    struct{ ID, Options string }
	Properties []struct {
		ID    string
		Value json.RawMessage
	}
}

type transformation struct {
	ID      string
	Options struct {
		IndexByName  map[string]int
		RenameByName map[string]string
		Sort         []struct {
			Field string
			Desc  bool
		}
	}
}

// field returns the defaults of a panel with the overrides for that name.
func (p panel) field(t *testing.T, name string) field {
	t.Helper()
	f := p.FieldConfig.Defaults
	for _, override := range p.FieldConfig.Overrides {
		switch override.Matcher.ID {
		case "byName":
			if override.Matcher.Options != name {
				continue
			}
		case "byRegexp":
			if !regexp.MustCompile(override.Matcher.Options).MatchString(name) {
				continue
			}
		default:
			t.Fatalf("%s: the matcher %s", p.Title, override.Matcher.ID)
		}
		for _, property := range override.Properties {
			into, known := map[string]any{
				"unit": &f.Unit, "decimals": &f.Decimals, "mappings": &f.Mappings, "thresholds": &f.Thresholds, "color": &f.Color,
				"custom.cellOptions": new(any), "custom.width": new(any), // not drawn
			}[property.ID]
			if !known {
				t.Fatalf("%s: the property %s", p.Title, property.ID)
			}
			if err := json.Unmarshal(property.Value, into); err != nil {
				t.Fatalf("%s: %s: %v", p.Title, property.ID, err)
			}
		}
	}
	return f
}

// write returns a value as its field has it, and the name of its colour.
func (f field) write(t *testing.T, value float64) (text, color string) {
	t.Helper()
	for _, step := range f.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			color = step.Color
		}
	}
	if found, ok := f.mapped(t, strconv.FormatFloat(value, 'f', -1, 64), value); ok {
		return found.Text, cmp.Or(found.Color, color)
	}
	return f.number(value), color
}

func (f field) mapped(t *testing.T, text string, value float64) (mapped, bool) {
	t.Helper()
	for _, mapping := range f.Mappings {
		switch mapping.Type {
		case "value":
			var texts map[string]mapped
			if err := json.Unmarshal(mapping.Options, &texts); err != nil {
				t.Fatal(err)
			}
			if found, ok := texts[text]; ok {
				return found, true
			}
		case "range":
			var between struct {
				From, To float64
				Result   mapped
			}
			if err := json.Unmarshal(mapping.Options, &between); err != nil {
				t.Fatal(err)
			}
			if between.From <= value && value <= between.To {
				return between.Result, true
			}
		default:
			t.Fatalf("the mapping %s", mapping.Type)
		}
	}
	return mapped{}, false
}

// number writes it with its unit.
func (f field) number(value float64) string {
	switch f.Unit {
	case "s":
		return f.seconds(value)
	case "dateTimeFromNow": // of milliseconds
		whole := 0
		return field{Decimals: &whole}.seconds(time.Since(time.UnixMilli(int64(value))).Seconds()) + " ago"
	case "percentunit":
		return f.digits(value*100) + " %"
	case "reqps":
		return f.digits(value) + " req/s"
	default:
		return f.digits(value)
	}
}

func (f field) seconds(value float64) string {
	switch size := math.Abs(value); {
	case size == 0:
		return "0 s"
	case size < 1:
		return f.digits(value*1000) + " ms"
	case size < 60:
		return f.digits(value) + " s"
	case size < 3600:
		return f.digits(value/60) + " min"
	case size < 86400:
		return f.digits(value/3600) + " h"
	default:
		return f.digits(value/86400) + " d"
	}
}

func (f field) digits(value float64) string {
	if f.Decimals != nil {
		return strconv.FormatFloat(value, 'f', *f.Decimals, 64)
	}
	text := strconv.FormatFloat(value, 'f', 2, 64)
	if math.Abs(value) >= 10 {
		text = strconv.FormatFloat(value, 'f', 1, 64)
	}
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

var legendLabel = regexp.MustCompile(`\{\{ *(\w+) *\}\}`)

// legend is the name of a series.
func (t target) legend(s series) string {
	return legendLabel.ReplaceAllStringFunc(t.LegendFormat, func(label string) string {
		return s.labels[legendLabel.FindStringSubmatch(label)[1]]
	})
}

// table is what a table shows.
type table struct {
	columns []string
	rows    [][]any // of strings, numbers and nil
}

// table asks for a panel's data and does to them what its transformations say: those that the dashboard has, no others.
func (v view) table(t *testing.T, p panel) table {
	t.Helper()
	rows := map[string]map[string]any{} // those of equal labels are one
	for _, target := range p.Targets {
		column := "Value"
		if len(p.Targets) > 1 {
			column += " #" + target.RefID
		}
		for _, series := range v.evaluate(t, target) {
			key := fmt.Sprint(series.labels)
			if rows[key] == nil {
				rows[key] = map[string]any{}
				for label, value := range series.labels {
					rows[key][label] = value
				}
			}
			rows[key][column] = series.last()
		}
	}
	var done table
	for _, transformation := range p.Transformations {
		switch options := transformation.Options; transformation.ID {
		case "merge": // done above
		case "organize":
			names := make([]string, len(options.IndexByName))
			for name, i := range options.IndexByName {
				names[i] = name
			}
			for _, name := range names {
				done.columns = append(done.columns, cmp.Or(options.RenameByName[name], name))
			}
			for _, row := range rows {
				var cells []any
				for _, name := range names {
					cells = append(cells, row[name])
				}
				done.rows = append(done.rows, cells)
			}
			slices.SortFunc(done.rows, func(a, b []any) int { return strings.Compare(fmt.Sprint(a[1], a[0]), fmt.Sprint(b[1], b[0])) })
		case "sortBy":
			by := slices.Index(done.columns, options.Sort[0].Field)
			slices.SortStableFunc(done.rows, func(a, b []any) int {
				if options.Sort[0].Desc {
					a, b = b, a
				}
				return cmp.Compare(a[by].(float64), b[by].(float64))
			})
		default:
			t.Fatalf("%s: the transformation %s", p.Title, transformation.ID)
		}
	}
	return done
}

// clock is how the axis of time is labelled.
func clock(seconds float64) string { return time.Unix(int64(seconds), 0).UTC().Format("15:04:05") }
