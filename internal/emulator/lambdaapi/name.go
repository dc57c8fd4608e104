package lambdaapi

import (
	"net/url"
	"regexp"
	"slices"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// latest is the qualifier of what is not a published version.
const latest = "$LATEST"

// reference is what a FunctionName and a Qualifier name.
type reference struct {
	account, name string
	qualifier     string // of a version or alias; "" if the caller gave none
}

// namePattern is that of the API reference. Its groups are the region, the account, the name and the qualifier.
var namePattern = regexp.MustCompile(`^(?:arn:aws[a-zA-Z-]*:lambda:)?(?:([a-z]{2}(?:-[a-z]+)+-\d):)?(?:(\d{12}):)?(?:function:)?` +
	`([a-zA-Z0-9-_.]+)(?::(\$LATEST|[a-zA-Z0-9-_]+))?$`)

var qualifierPattern = regexp.MustCompile(`^(\$LATEST|[a-zA-Z0-9-_]{1,128})$`)

// resolve reads a FunctionName and the query parameters.
func (s *Server) resolve(name string, query url.Values, op operation) (reference, *awsjson.Error) {
	m := namePattern.FindStringSubmatch(name)
	if m == nil || len(name) > 170 {
		return reference{}, awsjson.Invalid("'"+name+"' at 'functionName'", "satisfy regular expression pattern: "+
			`(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?`+
			`([a-zA-Z0-9-_\.]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`)
	}
	region, ref := m[1], reference{account: m[2], name: m[3], qualifier: m[4]}
	if ref.account == "" {
		ref.account = s.options.Account
	}
	if len(ref.name) > 64 {
		return reference{}, awsjson.Invalid("at 'functionName'", "have length less than or equal to 64")
	}
	for parameter, values := range query {
		if parameter != "Qualifier" || !op.qualified || len(values) != 1 {
			return reference{}, invalid("unknown parameter %s", parameter)
		}
	}
	if given := query.Get("Qualifier"); query.Has("Qualifier") {
		if !qualifierPattern.MatchString(given) {
			return reference{}, awsjson.Invalid("'"+given+"' at 'qualifier'", "satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+)")
		}
		if ref.qualifier != "" && ref.qualifier != given {
			return reference{}, invalid("The derived qualifier from the function name does not match the specified qualifier.")
		}
		ref.qualifier = given
	}
	if ref.qualifier != "" && !op.qualified {
		return reference{}, invalid("This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. " +
			"Please specify either a function name or an unqualified function ARN.")
	}
	if region != "" && region != s.options.Region {
		return reference{}, notFound("Functions from '%s' are not reachable in this region ('%s')", region, s.options.Region)
	}
	return ref, nil
}

// find returns the function that is named, with the alias if one is. The caller holds the lock.
func (s *Server) find(ref reference) (*Function, error) {
	f := s.functions[ref.name]
	if f == nil || !slices.Contains([]string{"", latest}, ref.qualifier) && !f.has(ref.qualifier) {
		return nil, notFound("Function not found: %s", s.arn(ref))
	}
	return f, nil
}

func (s *Server) arn(ref reference) string {
	arn := "arn:aws:lambda:" + s.options.Region + ":" + ref.account + ":function:" + ref.name
	if ref.qualifier != "" {
		arn += ":" + ref.qualifier
	}
	return arn
}
