package azure_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// template is an ARM template, read for a set of parameters and for where it is deployed.
type template struct {
	t          *testing.T
	document   map[string]any
	parameters map[string]any // the values, defaults included
	group      string         // the resource ID of the resource group
	index      int            // of the copy at work
	bound      map[string]any // what lambda functions are called with

	resources  []resource
	referenced map[string][]string // resource IDs that an expression asks about, by the resource it is of
	at         string              // the ID of the resource at work
}

// resource is one that a template deploys.
type resource struct {
	Type, ID  string
	Loop      string   // the name of the copy that it is of
	DependsOn []string // resource IDs and names of copies
	Body      map[string]any
}

// loadTemplate reads azuredeploy.json. Parameters that are not given have their defaults.
func loadTemplate(t *testing.T, given map[string]any) *template {
	t.Helper()
	document := map[string]any{}
	readJSON(t, "azuredeploy.json", &document)
	loaded := &template{t: t, document: document, group: group, referenced: map[string][]string{}}
	loaded.deploy(given)
	return loaded
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// asJSON gives the value the types of JSON.
func asJSON(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var made any
	if err := json.Unmarshal(text, &made); err != nil {
		t.Fatal(err)
	}
	return made
}

func (t *template) section(name string) map[string]any {
	section, _ := t.document[name].(map[string]any)
	return section
}

// deploy resolves all resources and outputs.
func (t *template) deploy(given map[string]any) {
	t.t.Helper()
	t.parameters = map[string]any{}
	for name, value := range given {
		if t.section("parameters")[name] == nil {
			t.t.Fatalf("there is no parameter %s", name)
		}
		t.parameters[name] = asJSON(t.t, value)
	}
	for name, declared := range t.section("parameters") {
		if _, ok := given[name]; ok {
			continue
		}
		standard, ok := declared.(map[string]any)["defaultValue"]
		if !ok {
			t.t.Fatalf("the parameter %s has no default and is not given", name)
		}
		t.parameters[name] = t.resolve(standard)
	}
	for _, declared := range t.document["resources"].([]any) {
		t.deployResource(declared.(map[string]any))
	}
	for name, output := range t.section("outputs") {
		t.at = "output " + name
		t.resolve(output.(map[string]any)["value"])
	}
}

func (t *template) deployResource(declared map[string]any) {
	t.t.Helper()
	count, loop := 1, ""
	if copied, ok := declared["copy"].(map[string]any); ok {
		loop, count = copied["name"].(string), int(t.resolve(copied["count"]).(float64))
	}
	for i := range count {
		t.index = i
		if condition, ok := declared["condition"]; ok && !t.resolve(condition).(bool) {
			continue
		}
		made := resource{Type: declared["type"].(string), Loop: loop}
		name := t.resolve(declared["name"]).(string)
		where := t.group
		if declared["subscriptionId"] != nil {
			where = fmt.Sprintf("/subscriptions/%s/resourceGroups/%s", t.resolve(declared["subscriptionId"]), t.resolve(declared["resourceGroup"]))
		}
		if scope, ok := declared["scope"]; ok {
			where += "/providers/" + t.resolve(scope).(string)
		}
		made.ID = t.id(where, made.Type, strings.Split(name, "/"))
		t.at = made.ID
		inner := map[string]any(nil)
		plain := maps.Clone(declared)
		delete(plain, "copy")
		delete(plain, "condition")
		if properties, ok := plain["properties"].(map[string]any); ok && made.Type == "Microsoft.Resources/deployments" {
			properties = maps.Clone(properties)
			inner = properties["template"].(map[string]any)
			delete(properties, "template")
			plain["properties"] = properties
		}
		made.Body = t.resolve(plain).(map[string]any)
		for _, id := range list(made.Body["dependsOn"]) {
			made.DependsOn = append(made.DependsOn, id.(string))
		}
		t.resources = append(t.resources, made)
		if inner != nil {
			t.deployNested(made, inner, where)
		}
	}
}

// deployNested deploys the template of a deployment, whose expressions see its own parameters only.
func (t *template) deployNested(deployment resource, document map[string]any, where string) {
	t.t.Helper()
	properties := deployment.Body["properties"].(map[string]any)
	if scope := properties["expressionEvaluationOptions"]; !reflect.DeepEqual(scope, map[string]any{"scope": "inner"}) {
		t.t.Fatalf("%s: the test knows the scope inner only, not %v", deployment.ID, scope)
	}
	given := map[string]any{}
	for name, parameter := range properties["parameters"].(map[string]any) {
		given[name] = parameter.(map[string]any)["value"]
	}
	inner := &template{t: t.t, document: document, group: where, referenced: t.referenced}
	inner.deploy(given)
	for _, made := range inner.resources {
		made.DependsOn = append(made.DependsOn, deployment.ID)
		t.resources = append(t.resources, made)
	}
}

// of lists the resources of a type.
func (t *template) of(kind string) (all []resource) {
	for _, made := range t.resources {
		if made.Type == kind {
			all = append(all, made)
		}
	}
	return all
}

// one is the only resource of a type.
func (t *template) one(kind string) resource {
	t.t.Helper()
	all := t.of(kind)
	if len(all) != 1 {
		t.t.Fatalf("%d resources are a %s", len(all), kind)
	}
	return all[0]
}

func list(value any) []any {
	all, _ := value.([]any)
	return all
}

// at is a value within a document, by the names on the way.
func at(t *testing.T, document any, path ...string) any {
	t.Helper()
	for _, name := range path {
		object, ok := document.(map[string]any)
		if !ok || object[name] == nil {
			t.Fatalf("there is no %s", strings.Join(path, "."))
		}
		document = object[name]
	}
	return document
}

// id is the resource ID of a type with names under a scope.
func (t *template) id(scope, kind string, names []string) string {
	t.t.Helper()
	parts := strings.Split(kind, "/")
	if len(parts) != len(names)+1 || slices.Contains(names, "") {
		t.t.Fatalf("%s cannot have the names %q", kind, names)
	}
	id := scope + "/providers/" + parts[0]
	for i, name := range names {
		id += "/" + parts[i+1] + "/" + name
	}
	return id
}

// resolve resolves the expressions in a value; the test fails on what it does not know.
func (t *template) resolve(value any) any {
	t.t.Helper()
	switch value := value.(type) {
	case []any:
		all := []any{}
		for _, item := range value {
			all = append(all, t.resolve(item))
		}
		return all
	case map[string]any:
		object := map[string]any{}
		for name, member := range value {
			object[name] = t.resolve(member)
		}
		return object
	case string:
		if expression, ok := expressionOf(value); ok {
			parsed, err := parse(expression)
			if err != nil {
				t.t.Fatalf("%s: %v", value, err)
			}
			return t.eval(parsed)
		}
	}
	return value
}

// expressionOf is the text between the brackets of a string that is an expression.
func expressionOf(text string) (string, bool) {
	if !strings.HasPrefix(text, "[") || strings.HasPrefix(text, "[[") || !strings.HasSuffix(text, "]") {
		return "", false
	}
	return text[1 : len(text)-1], true
}

// expression is a literal, a call, or a member of something.
type expression struct {
	literal any
	call    string
	args    []expression
	of      *expression // the member args[0] of this
}

type parser struct{ rest string }

// parse reads an expression whole.
func parse(text string) (expression, error) {
	p := &parser{text}
	found, err := p.expression()
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = fmt.Errorf("%q is left over", p.rest)
	}
	return found, err
}

func (p *parser) take(token string) bool {
	p.rest = strings.TrimLeft(p.rest, " ")
	found := strings.HasPrefix(p.rest, token)
	p.rest = strings.TrimPrefix(p.rest, token)
	return found
}

var (
	quoted = regexp.MustCompile(`^'((?:[^']|'')*)'`)
	number = regexp.MustCompile(`^-?\d+`)
	word   = regexp.MustCompile(`^[A-Za-z]\w*`)
)

func (p *parser) match(pattern *regexp.Regexp) (string, bool) {
	p.rest = strings.TrimLeft(p.rest, " ")
	found := pattern.FindString(p.rest)
	p.rest = p.rest[len(found):]
	return found, found != ""
}

func (p *parser) expression() (found expression, err error) {
	if text, ok := p.match(quoted); ok {
		found.literal = strings.ReplaceAll(text[1:len(text)-1], "''", "'")
	} else if text, ok := p.match(number); ok {
		found.literal, err = strconv.ParseFloat(text, 64)
	} else if text, ok := p.match(word); ok {
		found.call = text
		found.args, err = p.arguments()
	} else {
		err = fmt.Errorf("no expression begins with %q", p.rest)
	}
	for err == nil {
		whole := found
		switch {
		case p.take("."):
			name, ok := p.match(word)
			if !ok {
				return found, fmt.Errorf("no member at %q", p.rest)
			}
			found = expression{of: &whole, args: []expression{{literal: name}}}
		case p.take("["):
			var member expression
			if member, err = p.expression(); err == nil && !p.take("]") {
				err = fmt.Errorf("no ] at %q", p.rest)
			}
			found = expression{of: &whole, args: []expression{member}}
		default:
			return found, nil
		}
	}
	return found, err
}

func (p *parser) arguments() (all []expression, err error) {
	if !p.take("(") {
		return nil, fmt.Errorf("no ( at %q", p.rest)
	}
	if p.take(")") {
		return nil, nil
	}
	for {
		argument, err := p.expression()
		if err != nil {
			return nil, err
		}
		all = append(all, argument)
		if p.take(")") {
			return all, nil
		}
		if !p.take(",") {
			return nil, fmt.Errorf("no , and no ) at %q", p.rest)
		}
	}
}

// each visits an expression and those within it.
func (e expression) each(visit func(expression)) {
	visit(e)
	if e.of != nil {
		e.of.each(visit)
	}
	for _, argument := range e.args {
		argument.each(visit)
	}
}

func (t *template) eval(e expression) any {
	t.t.Helper()
	switch {
	case e.of != nil:
		return t.member(t.eval(*e.of), t.eval(e.args[0]))
	case e.call == "":
		return e.literal
	case e.call == "if": // whose other branch may be senseless
		if t.eval(e.args[0]).(bool) {
			return t.eval(e.args[1])
		}
		return t.eval(e.args[2])
	case e.call == "map":
		mapped := []any{}
		lambda := e.args[1]
		for _, item := range t.eval(e.args[0]).([]any) {
			t.bound = map[string]any{lambda.args[0].literal.(string): item}
			mapped = append(mapped, t.eval(lambda.args[1]))
		}
		t.bound = nil
		return mapped
	}
	args := make([]any, len(e.args))
	for i, argument := range e.args {
		args[i] = t.eval(argument)
	}
	return t.call(e.call, args)
}

func (t *template) member(of, name any) any {
	t.t.Helper()
	switch of := of.(type) {
	case map[string]any:
		if value, ok := of[name.(string)]; ok {
			return value
		}
	case []any:
		if i := int(name.(float64)); i < len(of) {
			return of[i]
		}
	}
	t.t.Fatalf("%v has no member %v", of, name)
	return nil
}

func (t *template) named(section string, name any) any {
	t.t.Helper()
	value, ok := t.section(section)[name.(string)]
	if !ok {
		t.t.Fatalf("there is no %v in %s", name, section)
	}
	return value
}

// call is a function of the template language, as far as the template uses it.
func (t *template) call(name string, args []any) any {
	t.t.Helper()
	switch name {
	case "parameters":
		t.named("parameters", args[0])
		return t.parameters[args[0].(string)]
	case "variables":
		return t.resolve(t.named("variables", args[0]))
	case "lambdaVariables":
		return t.bound[args[0].(string)]
	case "copyIndex":
		return float64(t.index)
	case "null":
		return nil
	case "true":
		return true
	case "not":
		return !args[0].(bool)
	case "empty":
		return reflect.ValueOf(args[0]).Len() == 0
	case "length":
		return float64(reflect.ValueOf(args[0]).Len())
	case "format":
		return regexp.MustCompile(`\{(\d+)\}`).ReplaceAllStringFunc(args[0].(string), func(place string) string {
			i, _ := strconv.Atoi(place[1 : len(place)-1])
			return fmt.Sprint(args[i+1])
		})
	case "join":
		texts := []string{}
		for _, item := range args[0].([]any) {
			texts = append(texts, item.(string))
		}
		return strings.Join(texts, args[1].(string))
	case "split":
		return asJSON(t.t, strings.Split(args[0].(string), args[1].(string)))
	case "take":
		if items, ok := args[0].([]any); ok {
			return items[:min(len(items), int(args[1].(float64)))]
		}
		text := args[0].(string)
		return text[:min(len(text), int(args[1].(float64)))]
	case "createArray":
		return args
	case "createObject":
		object := map[string]any{}
		for i := 0; i < len(args); i += 2 {
			object[args[i].(string)] = args[i+1]
		}
		return object
	case "union":
		all := []any{}
		for _, items := range args {
			for _, item := range items.([]any) {
				if !slices.Contains(all, item) {
					all = append(all, item)
				}
			}
		}
		return all
	case "uniqueString":
		return unique
	case "guid":
		return "guid of " + strings.ReplaceAll(fmt.Sprint(args...), "/", "|") // no name has a slash
	case "resourceGroup":
		return map[string]any{"id": t.group, "name": t.group[strings.LastIndex(t.group, "/")+1:], "location": location}
	case "subscription":
		return map[string]any{"subscriptionId": strings.Split(t.group, "/")[2]}
	case "environment":
		return map[string]any{"suffixes": map[string]any{"keyvaultDns": ".vault.azure.net"}}
	case "resourceId", "subscriptionResourceId", "extensionResourceId":
		return t.resourceID(name, args)
	case "reference":
		return t.reference(args)
	}
	t.t.Fatalf("the test does not know the function %s", name)
	return nil
}

func (t *template) resourceID(function string, args []any) string {
	t.t.Helper()
	texts := []string{}
	for _, argument := range args {
		texts = append(texts, argument.(string))
	}
	scope := t.group
	switch i := slices.IndexFunc(texts, func(text string) bool { return strings.HasPrefix(text, "Microsoft.") }); {
	case function == "subscriptionResourceId" && i == 0:
		scope = strings.Join(strings.Split(t.group, "/")[:3], "/")
	case function == "extensionResourceId" && i == 1:
		scope, texts = texts[0], texts[1:]
	case function == "resourceId" && i == 2:
		scope, texts = "/subscriptions/"+texts[0]+"/resourceGroups/"+texts[1], texts[2:]
	case function == "resourceId" && i == 0:
	default:
		t.t.Fatalf("%s of %q: the test does not know this form", function, texts)
	}
	return t.id(scope, texts[0], texts[1:])
}

// reference is what Azure returns for a resource that is there, made up.
func (t *template) reference(args []any) any {
	t.t.Helper()
	id := args[0].(string)
	t.referenced[t.at] = append(t.referenced[t.at], id)
	name := id[strings.LastIndex(id, "/")+1:]
	switch {
	case strings.Contains(id, "/Microsoft.Storage/storageAccounts/") && len(args) == 2:
		return map[string]any{"primaryEndpoints": map[string]any{"blob": "https://" + name + ".blob.core.windows.net/"}}
	case strings.Contains(id, "/Microsoft.Insights/components/") && len(args) == 2:
		return map[string]any{"ConnectionString": connection}
	case strings.Contains(id, "/Microsoft.Web/sites/") && len(args) == 3 && args[2] == "full":
		return map[string]any{"identity": map[string]any{"principalId": principal}}
	}
	t.t.Fatalf("the test does not know what %v returns", args)
	return nil
}

// accepts reports whether a value satisfies the constraints of a parameter.
func accepts(parameter map[string]any, value any) bool {
	within := func(least, most string, is float64) bool {
		lower, bounded := parameter[least].(float64)
		upper, limited := parameter[most].(float64)
		return (!bounded || is >= lower) && (!limited || is <= upper)
	}
	if allowed := list(parameter["allowedValues"]); len(allowed) > 0 && !slices.Contains(allowed, value) {
		return false
	}
	switch value := value.(type) {
	case string:
		return parameter["type"] == "string" && within("minLength", "maxLength", float64(len(value)))
	case float64:
		return parameter["type"] == "int" && within("minValue", "maxValue", value)
	case []any:
		return parameter["type"] == "array" && within("minLength", "maxLength", float64(len(value)))
	case map[string]any:
		return parameter["type"] == "object"
	}
	return false
}
