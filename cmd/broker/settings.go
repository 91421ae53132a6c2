package main

import "slices"

// setting is a variable with its effective value, as it may be seen.
type setting struct {
	Name    string
	Value   string // a secret is shown by its length only
	Source  string // environment, default, a _FILE variable, or - if it is not set
	Meaning string
}

// effective are the variables with their effective values, as they may be seen.
func (c config) effective(set map[string]string, problems []configError) []setting {
	var all []setting
	for _, v := range variables() {
		value := c.shown(v)
		if set[v.name] != "" && slices.ContainsFunc(problems, func(p configError) bool { return p.variable == v.name }) {
			value = "(not valid)" // and perhaps a secret that was put into the wrong variable
		}
		all = append(all, setting{Name: v.name, Value: value, Source: source(v, set), Meaning: v.help})
	}
	return all
}

// source tells where a variable's effective value comes from.
func source(v variable, set map[string]string) string {
	switch value, isSet := set[v.name]; {
	case value != "", isSet && v.name == "BROKER_ADMIN_LISTEN":
		return "environment"
	case set[v.name+"_FILE"] != "":
		return v.name + "_FILE"
	case v.fallback != "":
		return "default"
	default:
		return "-"
	}
}
