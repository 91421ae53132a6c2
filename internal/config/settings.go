package config

import "slices"

// Setting is a variable with its effective value, in displayable form.
type Setting struct {
	Name    string
	Value   string // a secret is shown by its length only
	Source  string // environment, default, a _FILE variable, or - if it is not set
	Meaning string
}

// effective returns all variables with their effective values, in displayable form.
func (c Config) effective(set map[string]string, problems []Error) []Setting {
	var all []Setting
	for _, v := range Variables() {
		value := c.shown(v)
		if set[v.Name] != "" && slices.ContainsFunc(problems, func(p Error) bool { return p.Variable == v.Name }) {
			value = "(not valid)" // it may be a misplaced secret
		}
		all = append(all, Setting{Name: v.Name, Value: value, Source: source(v, set), Meaning: v.Help})
	}
	return all
}

// source returns where a variable's effective value comes from.
func source(v Variable, set map[string]string) string {
	switch value, isSet := set[v.Name]; {
	case value != "", isSet && v.Name == "BROKER_ADMIN_LISTEN":
		return "environment"
	case set[v.Name+"_FILE"] != "":
		return v.Name + "_FILE"
	case v.Fallback != "":
		return "default"
	default:
		return "-"
	}
}
