package iampolicy

import (
	"maps"
	"slices"
	"strings"
)

// Policy is a policy document.
type Policy struct{ Statements []Statement }

// Statement is one statement of it. What the document has as one string or a list of strings is a list here.
type Statement struct {
	Sid, Effect        string // Effect is "Allow" or "Deny"
	Actions, Resources []string
	// Principals by their kind ("AWS", "Service", …); "Principal": "*" is {"AWS": ["*"]}. Nil in the policies of a role.
	Principals map[string][]string
	Conditions []Condition // all of them must hold
}

// Condition compares a key of the request's context with values, of which one
// must match (none, where the operator is a negated one).
type Condition struct {
	Operator, Key string
	Values        []string
}

// Request is what a principal wants to do.
type Request struct {
	Action   string            // such as "secretsmanager:GetSecretValue"
	Resource string            // an ARN, or "*" for an action without a resource
	Context  map[string]string // by condition key, in any case
	// Principal is who asks: the ARN of a role or user, or a service such as "secretsmanager.amazonaws.com". It matters only where a
	// statement names principals.
	Principal string
}

// Allows reports whether the policy allows the request: a statement allows it, and none denies it.
func (p Policy) Allows(r Request) bool {
	allowed := false
	for _, s := range p.Statements {
		if !s.Matches(r) {
			continue
		}
		if s.Effect != "Allow" {
			return false
		}
		allowed = true
	}
	return allowed
}

// Matches reports whether the statement is about the request, be it to allow or to deny it.
func (s Statement) Matches(r Request) bool {
	return s.matchesAction(r.Action) && s.matchesResource(r.Resource) && s.matchesPrincipal(r.Principal) &&
		!slices.ContainsFunc(s.Conditions, func(c Condition) bool { return !c.holds(r.Context, s.Effect) })
}

func (s Statement) matchesAction(action string) bool {
	return slices.ContainsFunc(s.Actions, func(pattern string) bool {
		return like(strings.ToLower(pattern), strings.ToLower(action))
	})
}

// matchesResource: a resource policy may name no resource; it is then about the one that it is attached to. Unlike in a
// condition, a wildcard in a resource may match colons.
func (s Statement) matchesResource(resource string) bool {
	if len(s.Resources) == 0 {
		return s.Principals != nil
	}
	return slices.ContainsFunc(s.Resources, func(pattern string) bool {
		return like(complete(pattern), resource)
	})
}

func (s Statement) matchesPrincipal(principal string) bool {
	if s.Principals == nil {
		return true
	}
	for _, kind := range slices.Sorted(maps.Keys(s.Principals)) {
		for _, name := range s.Principals[kind] {
			if name == "*" || kind == "AWS" && matchesIdentity(name, principal) || kind != "AWS" && name == principal {
				return true
			}
		}
	}
	return false
}

// matchesIdentity: an account, by its number or as the ARN of its root, stands for everybody in it.
func matchesIdentity(name, principal string) bool {
	parts := strings.SplitN(principal, ":", arnParts)
	if len(parts) != arnParts {
		return false
	}
	account := parts[4]
	return name == principal || name == account || name == strings.Join([]string{"arn", parts[1], "iam", "", account, "root"}, ":")
}
