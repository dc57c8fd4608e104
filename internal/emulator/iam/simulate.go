package iam

import (
	"encoding/xml"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
)

// The decisions of the simulator.
const (
	allowed      = "allowed"
	explicitDeny = "explicitDeny"
	implicitDeny = "implicitDeny"
)

type simulation struct {
	XMLName     xml.Name           `xml:"SimulatePrincipalPolicyResult"`
	Results     []evaluationResult `xml:"EvaluationResults>member"`
	IsTruncated bool
	Marker      string `xml:",omitempty"`
}

// evaluationResult is a result at the top, of a pair or of an action.
type evaluationResult struct {
	EvalActionName   string
	EvalResourceName string
	EvalDecision     string
	reasons
	ResourceSpecificResults *resourceResults
}

type resourceResults struct {
	Results []resourceResult `xml:"member"`
}

type resourceResult struct {
	EvalResourceName     string
	EvalResourceDecision string
	reasons
}

// reasons are what a decision came from.
type reasons struct {
	MatchedStatements    []matched `xml:"MatchedStatements>member"`
	MissingContextValues []string  `xml:"MissingContextValues>member"`
}

// matched names the policy of a statement, not its place in the document.
type matched struct{ SourcePolicyId string }

func (s *Server) simulatePrincipalPolicy(f form) (any, error) {
	in, err := readSimulation(f)
	if err != nil {
		return nil, err
	}
	simulated, err := s.find(in.source)
	if err != nil {
		return nil, err
	}
	var all []evaluationResult
	for _, action := range in.actions {
		var results []resourceResult
		for _, resource := range in.resources {
			results = append(results, simulated.evaluate(iampolicy.Request{Action: action, Resource: resource, Context: in.context}))
		}
		if s.options.ResultsByAction {
			all = append(all, byAction(action, results))
			continue
		}
		for _, r := range results {
			all = append(all, evaluationResult{
				EvalActionName: action, EvalResourceName: r.EvalResourceName, EvalDecision: r.EvalResourceDecision, reasons: r.reasons,
			})
		}
	}
	end := min(in.start+in.items, len(all))
	out := simulation{Results: all[min(in.start, end):end]}
	if end < len(all) {
		out.IsTruncated, out.Marker = true, strconv.Itoa(end)
	}
	return out, nil
}

// byAction sums up the results of an action: its decision is the most restrictive one.
func byAction(action string, results []resourceResult) evaluationResult {
	sum := evaluationResult{EvalActionName: action, EvalResourceName: template(action), EvalDecision: allowed}
	for _, decision := range []string{implicitDeny, explicitDeny} {
		if slices.ContainsFunc(results, func(r resourceResult) bool { return r.EvalResourceDecision == decision }) {
			sum.EvalDecision = decision
		}
	}
	for _, r := range results {
		if r.EvalResourceDecision == sum.EvalDecision {
			sum.MatchedStatements = append(sum.MatchedStatements, r.MatchedStatements...)
		}
		sum.MissingContextValues = append(sum.MissingContextValues, r.MissingContextValues...)
	}
	slices.SortFunc(sum.MatchedStatements, func(a, b matched) int { return strings.Compare(a.SourcePolicyId, b.SourcePolicyId) })
	sum.MatchedStatements = slices.Compact(sum.MatchedStatements)
	slices.Sort(sum.MissingContextValues)
	sum.MissingContextValues = slices.Compact(sum.MissingContextValues)
	if len(results) > 1 || results[0].EvalResourceName != "*" {
		sum.ResourceSpecificResults = &resourceResults{results}
	}
	return sum
}

// templates of the ARNs of services that have one type of resource that matters here, from the service authorization reference.
var templates = map[string]string{
	"secretsmanager": "arn:${Partition}:secretsmanager:${Region}:${Account}:secret:${SecretId}",
	"lambda":         "arn:${Partition}:lambda:${Region}:${Account}:function:${FunctionName}",
	"kms":            "arn:${Partition}:kms:${Region}:${Account}:key/${KeyId}",
}

// template returns the ARN template of an action's resources, or "*".
func template(action string) string {
	service, _, _ := strings.Cut(strings.ToLower(action), ":")
	if t, ok := templates[service]; ok {
		return t
	}
	return "*"
}

// evaluate decides about one action on one resource.
func (r *role) evaluate(request iampolicy.Request) resourceResult {
	result := resourceResult{EvalResourceName: request.Resource, EvalResourceDecision: implicitDeny}
	var allows, denies []matched
	missing := map[string]bool{}
	for i, policy := range r.policies {
		source := matched{fmt.Sprintf("policy-%d", i+1)}
		for _, statement := range policy.Statements {
			for _, key := range missingKeys(statement, request) {
				missing[key] = true
			}
			switch {
			case !statement.Matches(request):
			case statement.Effect == "Deny":
				denies = append(denies, source)
			default:
				allows = append(allows, source)
			}
		}
	}
	switch {
	case len(denies) > 0:
		result.EvalResourceDecision, result.MatchedStatements = explicitDeny, denies
	case len(allows) > 0:
		result.EvalResourceDecision, result.MatchedStatements = allowed, allows
	}
	result.MissingContextValues = slices.Sorted(maps.Keys(missing))
	return result
}

// missingKeys are the context keys that the statement asks for and the request
// does not have, if the statement is about the action and the resource.
func missingKeys(s iampolicy.Statement, request iampolicy.Request) (keys []string) {
	conditions := s.Conditions
	s.Conditions = nil
	if !s.Matches(request) {
		return nil
	}
	for _, c := range conditions {
		given := false
		for key := range request.Context {
			given = given || strings.EqualFold(key, c.Key)
		}
		if !given {
			keys = append(keys, c.Key)
		}
	}
	return keys
}

// simulationInput is the request.
type simulationInput struct {
	source       string
	actions      []string
	resources    []string
	context      map[string]string
	start, items int
}

var (
	validAction = regexp.MustCompile(`^[a-zA-Z0-9-]+:[a-zA-Z0-9]+$`)
	contextType = regexp.MustCompile(`^(string|numeric|boolean|ip|binary|date)(List)?$`)
)

func readSimulation(f form) (in simulationInput, err error) {
	if in.source = f.value("PolicySourceArn"); len(in.source) < 20 || len(in.source) > 2048 {
		return in, validation("policySourceArn", "Member must have length between 20 and 2048")
	}
	if in.actions, err = f.texts("ActionNames", 3, 128); err != nil {
		return in, err
	}
	if len(in.actions) == 0 {
		return in, validation("actionNames", "Member must not be null")
	}
	for _, action := range in.actions {
		if !validAction.MatchString(action) {
			return in, invalidInput("Invalid Action: %s", action)
		}
	}
	if in.resources, err = f.texts("ResourceArns", 1, 2048); err != nil {
		return in, err
	}
	for _, resource := range in.resources {
		if resource != "*" && (!strings.HasPrefix(resource, "arn:") || strings.Count(resource, ":") < 5) {
			return in, invalidInput("Invalid Resource Arn: %s", resource)
		}
	}
	if len(in.resources) == 0 {
		in.resources = []string{"*"}
	}
	if in.context, err = readContext(f); err != nil {
		return in, err
	}
	if in.items, err = f.number("MaxItems", 100, 1, 1000); err != nil {
		return in, err
	}
	if marker := f.value("Marker"); f.values.Has("Marker") {
		if in.start, err = strconv.Atoi(marker); err != nil || in.start < 1 {
			return in, invalidInput("Invalid Marker: %s", marker)
		}
	}
	return in, f.rest()
}

// readContext reads the context entries.
func readContext(f form) (map[string]string, error) {
	entries, err := f.list("ContextEntries")
	if err != nil {
		return nil, err
	}
	context := map[string]string{}
	for _, entry := range entries {
		name, kind := f.value(entry+".ContextKeyName"), f.value(entry+".ContextKeyType")
		if len(name) < 5 || len(name) > 256 {
			return nil, validation(entry+".contextKeyName", "Member must have length between 5 and 256")
		}
		if !contextType.MatchString(kind) {
			return nil, validation(entry+".contextKeyType", "Member must satisfy enum value set: [string, stringList, numeric, numericList, "+
				"boolean, booleanList, ip, ipList, binary, binaryList, date, dateList]")
		}
		values, err := f.texts(entry+".ContextKeyValues", 0, 2048)
		if err != nil {
			return nil, err
		}
		if len(values) != 1 {
			return nil, invalidInput("Context key %s must have one value; lists are not emulated", name)
		}
		for other := range context {
			if strings.EqualFold(other, name) {
				return nil, invalidInput("Context key %s is there twice", name)
			}
		}
		context[name] = values[0]
	}
	return context, nil
}
