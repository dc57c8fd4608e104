package iampolicy

import (
	"slices"
	"strings"
)

// operator compares the value of a context key with one of a condition.
type operator struct {
	matches func(want, got string) bool
	negated bool // holds if no value matches, or the key is missing
}

var operators = map[string]operator{
	"StringEquals":              {matches: equal},
	"StringNotEquals":           {matches: equal, negated: true},
	"StringEqualsIgnoreCase":    {matches: strings.EqualFold},
	"StringNotEqualsIgnoreCase": {matches: strings.EqualFold, negated: true},
	"StringLike":                {matches: like},
	"StringNotLike":             {matches: like, negated: true},
	"Bool":                      {matches: strings.EqualFold},
	// The two of ARNs are the same: "ArnEquals" has wildcards, too.
	"ArnEquals":    {matches: likeARN},
	"ArnNotEquals": {matches: likeARN, negated: true},
	"ArnLike":      {matches: likeARN},
	"ArnNotLike":   {matches: likeARN, negated: true},
}

func equal(a, b string) bool { return a == b }

// holds reports whether the condition holds for a statement of that effect, on which depends what an unknown operator means.
func (c Condition) holds(context map[string]string, effect string) bool {
	got, present := lookup(context, c.Key)
	if c.Operator == "Null" {
		return slices.ContainsFunc(c.Values, func(want string) bool { return strings.EqualFold(want, "true") != present })
	}
	name, ifExists := strings.CutSuffix(c.Operator, "IfExists")
	op, known := operators[name]
	switch {
	case !known:
		return effect != "Allow"
	case !present:
		return ifExists || op.negated
	}
	return op.negated != slices.ContainsFunc(c.Values, func(want string) bool { return op.matches(want, got) })
}

// lookup finds a context key, whose name's case does not matter: Lambda, for one, writes "AWS:SourceAccount" into its policies.
func lookup(context map[string]string, key string) (value string, ok bool) {
	for name, value := range context {
		if strings.EqualFold(name, key) {
			return value, true
		}
	}
	return "", false
}
