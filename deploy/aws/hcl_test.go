package aws_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// module is the Terraform module, read for a set of variables. Attributes of its resources that only AWS knows are made
// up.
type module struct {
	t       *testing.T
	blocks  map[string]*hclsyntax.Block // by address: "var.name", "data.aws_region.current", "aws_iam_role.rotation"
	context *hcl.EvalContext
}

func loadModule(t *testing.T, given map[string]cty.Value) *module {
	t.Helper()
	m := &module{t: t, blocks: map[string]*hclsyntax.Block{}}
	m.context = &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{
		"data": cty.ObjectVal(map[string]cty.Value{
			"aws_caller_identity": cty.ObjectVal(map[string]cty.Value{"current": cty.ObjectVal(map[string]cty.Value{"account_id": cty.StringVal(account)})}),
			"aws_partition":       cty.ObjectVal(map[string]cty.Value{"current": cty.ObjectVal(map[string]cty.Value{"partition": cty.StringVal("aws")})}),
			"aws_region":          cty.ObjectVal(map[string]cty.Value{"current": cty.ObjectVal(map[string]cty.Value{"id": cty.StringVal(region)})}),
		}),
	}}
	files, err := filepath.Glob("terraform/*.tf")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	locals := hclsyntax.Attributes{}
	parser := hclparse.NewParser()
	for _, name := range files {
		file, problems := parser.ParseHCLFile(name)
		m.must(problems)
		for _, block := range file.Body.(*hclsyntax.Body).Blocks {
			switch block.Type {
			case "variable":
				m.blocks["var."+block.Labels[0]] = block
			case "resource":
				m.blocks[strings.Join(block.Labels, ".")] = block
			case "data", "output":
				m.blocks[block.Type+"."+strings.Join(block.Labels, ".")] = block
			case "locals":
				maps.Copy(locals, block.Body.Attributes)
			}
		}
	}
	m.readVariables(given)
	m.makeUpResources()
	m.readLocals(locals)
	return m
}

func (m *module) must(problems hcl.Diagnostics) {
	m.t.Helper()
	if problems.HasErrors() {
		m.t.Fatal(problems)
	}
}

func (m *module) readVariables(given map[string]cty.Value) {
	m.t.Helper()
	values := map[string]cty.Value{}
	for address, block := range m.blocks {
		name, variable := strings.CutPrefix(address, "var.")
		if !variable {
			continue
		}
		kind, defaults, problems := typeexpr.TypeConstraintWithDefaults(block.Body.Attributes["type"].Expr)
		m.must(problems)
		value, ok := given[name]
		if !ok {
			declared := block.Body.Attributes["default"]
			if declared == nil {
				m.t.Fatalf("the variable %s has no default and is not given", name)
			}
			value = m.value(declared.Expr)
		}
		if defaults != nil && !value.IsNull() {
			value = defaults.Apply(value)
		}
		value, err := convert.Convert(value, kind)
		if err != nil {
			m.t.Fatalf("the variable %s: %v", name, err)
		}
		values[name] = value
	}
	for name := range given {
		if values[name] == cty.NilVal {
			m.t.Fatalf("there is no variable %s", name)
		}
	}
	m.context.Variables["var"] = cty.ObjectVal(values)
}

// makeUpResources gives every resource what other blocks take of it; one with a count is a list.
func (m *module) makeUpResources() {
	kinds := map[string]map[string]cty.Value{}
	for _, address := range slices.Sorted(maps.Keys(m.blocks)) {
		kind, name, _ := strings.Cut(address, ".")
		if !strings.HasPrefix(kind, "aws_") {
			continue
		}
		made := map[string]cty.Value{}
		for _, attribute := range []string{"arn", "id", "name", "function_name"} {
			made[attribute] = cty.StringVal(madeUp + address)
		}
		switch address {
		case "aws_lambda_function.rotation":
			made["arn"], made["function_name"] = cty.StringVal(functionARN), cty.StringVal(functionName)
		case "aws_cloudwatch_log_group.rotation":
			made["arn"], made["name"] = cty.StringVal(logGroupARN), cty.StringVal(logGroup)
		}
		value := cty.ObjectVal(made)
		if count := m.blocks[address].Body.Attributes["count"]; count != nil {
			if value = cty.TupleVal([]cty.Value{value}); isZero(m.value(count.Expr)) {
				value = cty.EmptyTupleVal
			}
		}
		if kinds[kind] == nil {
			kinds[kind] = map[string]cty.Value{}
		}
		kinds[kind][name] = value
	}
	for kind, resources := range kinds {
		m.context.Variables[kind] = cty.ObjectVal(resources)
	}
}

func isZero(count cty.Value) bool { return count.Equals(cty.Zero).True() }

func (m *module) readLocals(locals hclsyntax.Attributes) {
	values := map[string]cty.Value{}
	for _, name := range slices.Sorted(maps.Keys(locals)) {
		values[name] = m.value(locals[name].Expr)
	}
	m.context.Variables["local"] = cty.ObjectVal(values)
}

func (m *module) value(expression hcl.Expression) cty.Value {
	m.t.Helper()
	value, problems := expression.Value(m.context)
	m.must(problems)
	return value
}

// attribute evaluates an attribute of a block; ok is false if the block has none.
func (m *module) attribute(block *hclsyntax.Block, name string) (value cty.Value, ok bool) {
	m.t.Helper()
	attribute := block.Body.Attributes[name]
	if attribute == nil {
		return cty.NilVal, false
	}
	return m.value(attribute.Expr), true
}

// resources lists the addresses of the resources of a type that are made with these variables.
func (m *module) resources(kind string) []string {
	var addresses []string
	for _, address := range slices.Sorted(maps.Keys(m.blocks)) {
		if !strings.HasPrefix(address, kind+".") {
			continue
		}
		if count, ok := m.attribute(m.blocks[address], "count"); !ok || !isZero(count) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// refused says which variables' validations do not hold.
func (m *module) refused() (why []string) {
	for _, address := range slices.Sorted(maps.Keys(m.blocks)) {
		name, variable := strings.CutPrefix(address, "var.")
		if !variable {
			continue
		}
		for _, block := range m.blocks[address].Body.Blocks {
			if condition, _ := m.attribute(block, "condition"); condition.False() {
				why = append(why, name)
			}
		}
	}
	return slices.Compact(why)
}

var (
	conditionBlock  = hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "test"}, {Name: "variable"}, {Name: "values"}}}
	principalsBlock = hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "type"}, {Name: "identifiers"}}}
	statementBlock  = hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "sid"}, {Name: "actions"}, {Name: "resources"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "condition"}, {Type: "principals"}},
	}
	policyBlock = hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "count"}}, Blocks: []hcl.BlockHeaderSchema{{Type: "statement"}}}
)

// policy is the JSON that a data "aws_iam_policy_document" gives. What it does not know fails the test.
func (m *module) policy(name string) []byte {
	m.t.Helper()
	body, problems := dynblock.Expand(m.blocks["data.aws_iam_policy_document."+name].Body, m.context).Content(&policyBlock)
	m.must(problems)
	statements := []any{}
	for _, block := range body.Blocks {
		content, problems := block.Body.Content(&statementBlock)
		m.must(problems)
		made := map[string]any{"Effect": "Allow"}
		for name, value := range m.plain(content.Attributes) {
			made[map[string]string{"sid": "Sid", "actions": "Action", "resources": "Resource"}[name]] = value
		}
		for _, nested := range content.Blocks {
			if nested.Type == "principals" {
				principals := m.content(nested, &principalsBlock)
				made["Principal"] = map[string]any{principals["type"].(string): principals["identifiers"]}
				continue
			}
			condition := m.content(nested, &conditionBlock)
			made["Condition"] = map[string]any{condition["test"].(string): map[string]any{condition["variable"].(string): condition["values"]}}
		}
		statements = append(statements, made)
	}
	document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		m.t.Fatal(err)
	}
	return document
}

// content evaluates a block that has attributes only.
func (m *module) content(block *hcl.Block, schema *hcl.BodySchema) map[string]any {
	m.t.Helper()
	content, problems := block.Body.Content(schema)
	m.must(problems)
	return m.plain(content.Attributes)
}

// plain evaluates attributes to strings and lists.
func (m *module) plain(attributes hcl.Attributes) map[string]any {
	m.t.Helper()
	all := map[string]any{}
	for name, attribute := range attributes {
		value, problems := attribute.Expr.Value(m.context)
		m.must(problems)
		all[name] = plain(value)
	}
	return all
}

// plain turns a value of Terraform's into strings, lists and maps.
func plain(value cty.Value) any {
	switch kind := value.Type(); {
	case value.IsNull():
		return nil
	case kind.IsObjectType(), kind.IsMapType():
		object := map[string]any{}
		for name, member := range value.AsValueMap() {
			object[name] = plain(member)
		}
		return object
	case value.CanIterateElements():
		list := []any{}
		for _, item := range value.AsValueSlice() {
			list = append(list, plain(item))
		}
		return list
	}
	text, err := convert.Convert(value, cty.String)
	if err != nil {
		panic(err)
	}
	return text.AsString()
}

// functions are those of Terraform's that the module uses.
var functions = map[string]function.Function{
	"can":        tryfunc.CanFunc,
	"concat":     stdlib.ConcatFunc,
	"contains":   stdlib.ContainsFunc,
	"distinct":   stdlib.DistinctFunc,
	"floor":      stdlib.FloorFunc,
	"join":       stdlib.JoinFunc,
	"jsonencode": stdlib.JSONEncodeFunc,
	"length":     stdlib.LengthFunc,
	"regex":      stdlib.RegexFunc,
	"sort":       stdlib.SortFunc,
	"alltrue": simple(cty.Bool, func(args []cty.Value) cty.Value {
		return cty.BoolVal(!slices.ContainsFunc(args[0].AsValueSlice(), cty.Value.False))
	}, cty.DynamicPseudoType),
	"endswith": simple(cty.Bool, func(args []cty.Value) cty.Value {
		return cty.BoolVal(strings.HasSuffix(args[0].AsString(), args[1].AsString()))
	}, cty.String, cty.String),
	"one": simple(cty.String, func(args []cty.Value) cty.Value {
		for _, only := range args[0].AsValueSlice() {
			return only
		}
		return cty.NullVal(cty.String)
	}, cty.DynamicPseudoType),
}

func simple(result cty.Type, do func([]cty.Value) cty.Value, parameters ...cty.Type) function.Function {
	spec := &function.Spec{
		Type: function.StaticReturnType(result),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return do(args), nil },
	}
	for i, kind := range parameters {
		spec.Params = append(spec.Params, function.Parameter{Name: fmt.Sprint("p", i), Type: kind})
	}
	return function.New(spec)
}
