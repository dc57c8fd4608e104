package aws_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The account that everything is resolved for, and the names that CloudFormation would make up.
const (
	account      = "123456789012"
	region       = "eu-west-1"
	functionName = "maia-rotate"
	functionARN  = "arn:aws:lambda:" + region + ":" + account + ":function:" + functionName
	logGroup     = "/aws/lambda/" + functionName
	logGroupARN  = "arn:aws:logs:" + region + ":" + account + ":log-group:" + logGroup
	madeUp       = "arn:aws:made-up:" + region + ":" + account + ":" // the ARN of a resource begins with
)

// template is template.yaml, read for a set of parameters.
type template struct {
	sections   map[string]map[string]any
	parameters map[string]any // the values, defaults included
}

// noValue is what AWS::NoValue resolves to until it is taken out of its list or map.
type noValue struct{}

// loadTemplate reads ../../template.yaml. Parameters that are not given have their defaults.
func loadTemplate(t *testing.T, given map[string]string) *template {
	t.Helper()
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	loaded := &template{sections: map[string]map[string]any{}, parameters: map[string]any{}}
	for name, section := range fromYAML(root.Content[0]).(map[string]any) {
		if section, ok := section.(map[string]any); ok {
			loaded.sections[name] = section
		}
	}
	for name, declared := range loaded.sections["Parameters"] {
		value, ok := given[name]
		if !ok {
			value, ok = declared.(map[string]any)["Default"].(string)
		}
		if !ok {
			t.Fatalf("the parameter %s has no default and is not given", name)
		}
		loaded.parameters[name] = value
	}
	for name := range given {
		if loaded.sections["Parameters"][name] == nil {
			t.Fatalf("there is no parameter %s", name)
		}
	}
	return loaded
}

// fromYAML gives maps, lists and strings, with short tags in their long form.
func fromYAML(node *yaml.Node) any {
	var value any
	switch node.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i < len(node.Content); i += 2 {
			object[node.Content[i].Value] = fromYAML(node.Content[i+1])
		}
		value = object
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range node.Content {
			list = append(list, fromYAML(item))
		}
		value = list
	case yaml.ScalarNode:
		value = node.Value
	default:
		panic(fmt.Sprintf("line %d: CloudFormation knows no aliases", node.Line))
	}
	name, short := strings.CutPrefix(node.Tag, "!")
	switch {
	case !short || strings.HasPrefix(name, "!"): // !!str and the like
		return value
	case name == "Ref" || name == "Condition":
		return map[string]any{name: value}
	case name == "GetAtt":
		resource, attribute, _ := strings.Cut(value.(string), ".")
		return map[string]any{"Fn::GetAtt": []any{resource, attribute}}
	}
	return map[string]any{"Fn::" + name: value}
}

// resource resolves the properties of a resource.
func (t *template) resource(name string) map[string]any {
	declared, ok := t.sections["Resources"][name].(map[string]any)
	if !ok {
		panic("there is no resource " + name)
	}
	return t.resolve(declared["Properties"]).(map[string]any)
}

// resources lists the resources of a type that are made with these parameters.
func (t *template) resources(kind string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(t.sections["Resources"])) {
		declared := t.sections["Resources"][name].(map[string]any)
		condition, conditional := declared["Condition"].(string)
		if declared["Type"] == kind && (!conditional || t.condition(condition)) {
			names = append(names, name)
		}
	}
	return names
}

func (t *template) condition(name string) bool {
	return t.resolve(t.sections["Conditions"][name]).(bool)
}

// resolve resolves the intrinsic functions that the template uses; it panics on others.
func (t *template) resolve(value any) any {
	switch value := value.(type) {
	case []any:
		list := []any{}
		for _, item := range value {
			if resolved := t.resolve(item); resolved != (noValue{}) {
				list = append(list, resolved)
			}
		}
		return list
	case map[string]any:
		if len(value) == 1 {
			for name, argument := range value {
				if name == "Ref" || name == "Condition" || strings.HasPrefix(name, "Fn::") {
					return t.call(name, argument)
				}
			}
		}
		object := map[string]any{}
		for name, member := range value {
			if resolved := t.resolve(member); resolved != (noValue{}) {
				object[name] = resolved
			}
		}
		return object
	}
	return value
}

func (t *template) call(name string, argument any) any {
	list, _ := argument.([]any)
	switch name {
	case "Ref":
		return t.ref(argument.(string))
	case "Condition":
		if condition, ok := argument.(string); ok {
			return t.condition(condition)
		}
		return map[string]any{name: t.resolve(argument)} // of a policy's statement
	case "Fn::GetAtt":
		return t.attribute(list[0].(string), list[1].(string))
	case "Fn::If":
		if t.condition(list[0].(string)) {
			return t.resolve(list[1])
		}
		return t.resolve(list[2])
	case "Fn::Equals":
		return t.resolve(list[0]) == t.resolve(list[1])
	case "Fn::Not":
		return !t.resolve(list[0]).(bool)
	case "Fn::And":
		return !slices.ContainsFunc(list, func(item any) bool { return !t.resolve(item).(bool) })
	case "Fn::Or":
		return slices.ContainsFunc(list, func(item any) bool { return t.resolve(item).(bool) })
	case "Fn::Join":
		return strings.Join(texts(t.resolve(list[1])), list[0].(string))
	case "Fn::Split":
		var parts []any
		for _, part := range strings.Split(t.resolve(list[1]).(string), list[0].(string)) {
			parts = append(parts, part)
		}
		return parts
	case "Fn::Sub":
		return regexp.MustCompile(`\$\{([^}]+)\}`).ReplaceAllStringFunc(argument.(string), func(variable string) string {
			return t.ref(variable[2 : len(variable)-1]).(string)
		})
	}
	panic("the test does not know " + name)
}

func (t *template) ref(name string) any {
	switch name {
	case "AWS::NoValue":
		return noValue{}
	case "AWS::AccountId":
		return account
	case "AWS::Region":
		return region
	case "AWS::Partition":
		return "aws"
	case "AWS::StackName":
		return functionName
	case "RotationFunction":
		return functionName
	case "RotationLogs":
		return logGroup
	}
	if value, ok := t.parameters[name]; ok {
		return value
	}
	if _, ok := t.sections["Resources"][name]; ok {
		return madeUp + name
	}
	panic("there is no " + name)
}

func (t *template) attribute(resource, attribute string) any {
	if _, ok := t.sections["Resources"][resource]; !ok || attribute != "Arn" {
		panic("there is no " + resource + "." + attribute)
	}
	switch resource {
	case "RotationFunction":
		return functionARN
	case "RotationLogs":
		return logGroupARN + ":*" // as CloudFormation gives it
	}
	return madeUp + resource
}

// refused says which parameters and rules of the template do not accept the parameters.
func (t *template) refused() (why []string) {
	for _, name := range slices.Sorted(maps.Keys(t.parameters)) {
		if !accepts(t.sections["Parameters"][name].(map[string]any), t.parameters[name].(string)) {
			why = append(why, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.sections["Rules"])) {
		rule := t.sections["Rules"][name].(map[string]any)
		if condition, ok := rule["RuleCondition"]; ok && !t.resolve(condition).(bool) {
			continue
		}
		for _, assertion := range rule["Assertions"].([]any) {
			if !t.resolve(assertion.(map[string]any)["Assert"]).(bool) {
				why = append(why, name)
			}
		}
	}
	return why
}

// accepts reports whether a value satisfies the constraints of a parameter.
func accepts(parameter map[string]any, value string) bool {
	if pattern, ok := parameter["AllowedPattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value) {
		return false
	}
	if allowed, ok := parameter["AllowedValues"].([]any); ok && !slices.Contains(texts(allowed), value) {
		return false
	}
	if parameter["Type"] != "Number" {
		return true
	}
	number, err := strconv.ParseFloat(value, 64)
	within := func(name string, sign float64) bool {
		bound, ok := parameter[name].(string)
		limit, _ := strconv.ParseFloat(bound, 64)
		return !ok || sign*(number-limit) >= 0
	}
	return err == nil && within("MinValue", 1) && within("MaxValue", -1)
}

// texts are a list's strings.
func texts(list any) []string {
	var all []string
	for _, item := range list.([]any) {
		all = append(all, item.(string))
	}
	return all
}
