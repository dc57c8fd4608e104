// Package terraformtest reads a Terraform module without Terraform, for tests that hold it against the code that it deploys.
// What it cannot read fails the test.
package terraformtest

import (
	"crypto/sha1"
	"fmt"
	"maps"
	"os"
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

// Module is a Terraform module, read for a set of variables.
type Module struct {
	Blocks  map[string]*hclsyntax.Block // by address: "var.name", "data.aws_region.current", "aws_iam_role.rotation"
	Context *hcl.EvalContext

	t     *testing.T
	world World
}

// World is what only the cloud knows.
type World struct {
	Data      map[string]cty.Value                      // attributes of data sources, by kind and name
	Attribute func(address string) map[string]cty.Value // what other blocks take of a resource
}

// Load reads the files of a folder. The variables that are not given have their defaults.
func Load(t *testing.T, folder string, given map[string]cty.Value, world World) *Module {
	t.Helper()
	m := &Module{t: t, world: world, Blocks: map[string]*hclsyntax.Block{}}
	m.Context = &hcl.EvalContext{Functions: functions, Variables: map[string]cty.Value{
		"data": cty.ObjectVal(world.Data),
		"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(folder)}),
	}}
	files, err := filepath.Glob(filepath.Join(folder, "*.tf"))
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
				m.Blocks["var."+block.Labels[0]] = block
			case "resource":
				m.Blocks[strings.Join(block.Labels, ".")] = block
			case "data", "output":
				m.Blocks[block.Type+"."+strings.Join(block.Labels, ".")] = block
			case "locals":
				maps.Copy(locals, block.Body.Attributes)
			}
		}
	}
	m.readVariables(given)
	m.makeUp(locals)
	return m
}

func (m *Module) must(problems hcl.Diagnostics) {
	m.t.Helper()
	if problems.HasErrors() {
		m.t.Fatal(problems)
	}
}

func (m *Module) readVariables(given map[string]cty.Value) {
	m.t.Helper()
	values := map[string]cty.Value{}
	for address, block := range m.Blocks {
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
			value = m.Value(declared.Expr)
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
	m.Context.Variables["var"] = cty.ObjectVal(values)
}

// makeUp gives every resource what other blocks take of it (one with a count is a list, one with for_each a map), and every
// local its value. What needs another comes after it.
func (m *Module) makeUp(locals hclsyntax.Attributes) {
	m.t.Helper()
	named := map[string]map[string]cty.Value{"local": {}}
	waiting := map[string]func() (cty.Value, hcl.Diagnostics){}
	for name, local := range locals {
		waiting["local."+name] = func() (cty.Value, hcl.Diagnostics) { return local.Expr.Value(m.Context) }
	}
	for address, block := range m.Blocks {
		if kind, _, _ := strings.Cut(address, "."); !slices.Contains([]string{"var", "data", "output"}, kind) {
			waiting[address] = func() (cty.Value, hcl.Diagnostics) { return m.resource(address, block) }
		}
	}
	for len(waiting) > 0 {
		left := len(waiting)
		var unknown hcl.Diagnostics
		for _, address := range slices.Sorted(maps.Keys(waiting)) {
			value, problems := waiting[address]()
			if problems.HasErrors() {
				unknown = problems
				continue
			}
			delete(waiting, address)
			kind, name, _ := strings.Cut(address, ".")
			if named[kind] == nil {
				named[kind] = map[string]cty.Value{}
			}
			named[kind][name] = value
			m.Context.Variables[kind] = cty.ObjectVal(named[kind])
		}
		if len(waiting) == left {
			m.t.Fatal(unknown)
		}
	}
}

func (m *Module) resource(address string, block *hclsyntax.Block) (cty.Value, hcl.Diagnostics) {
	made := cty.ObjectVal(m.world.Attribute(address))
	if count := block.Body.Attributes["count"]; count != nil {
		number, problems := count.Expr.Value(m.Context)
		if problems.HasErrors() || isZero(number) {
			return cty.EmptyTupleVal, problems
		}
		return cty.TupleVal([]cty.Value{made}), nil
	}
	each := block.Body.Attributes["for_each"]
	if each == nil {
		return made, nil
	}
	keys, problems := each.Expr.Value(m.Context)
	all := map[string]cty.Value{}
	if !problems.HasErrors() {
		for it := keys.ElementIterator(); it.Next(); {
			key, _ := it.Element()
			all[key.AsString()] = made
		}
	}
	return cty.ObjectVal(all), problems
}

func isZero(count cty.Value) bool { return count.Equals(cty.Zero).True() }

// Value evaluates an expression of the module.
func (m *Module) Value(expression hcl.Expression) cty.Value {
	m.t.Helper()
	value, problems := expression.Value(m.Context)
	m.must(problems)
	return value
}

// Attribute evaluates an attribute of a block; ok is false if the block has none.
func (m *Module) Attribute(block *hclsyntax.Block, name string) (value cty.Value, ok bool) {
	m.t.Helper()
	attribute := block.Body.Attributes[name]
	if attribute == nil {
		return cty.NilVal, false
	}
	return m.Value(attribute.Expr), true
}

// Resources lists the addresses of the resources of a type that are made with these variables.
func (m *Module) Resources(kind string) []string {
	var addresses []string
	for _, address := range slices.Sorted(maps.Keys(m.Blocks)) {
		if !strings.HasPrefix(address, kind+".") {
			continue
		}
		if count, ok := m.Attribute(m.Blocks[address], "count"); !ok || !isZero(count) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// Each is the module as each instance of a resource with for_each sees it, by key.
func (m *Module) Each(address string) map[string]*Module {
	m.t.Helper()
	all := map[string]*Module{}
	for it := m.Value(m.Blocks[address].Body.Attributes["for_each"].Expr).ElementIterator(); it.Next(); {
		key, value := it.Element()
		if !key.Type().Equals(cty.String) {
			key = value // of a set
		}
		instance := *m
		instance.Context = m.Context.NewChild()
		instance.Context.Variables = map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})}
		all[key.AsString()] = &instance
	}
	return all
}

// Nested is a block within a resource, by the types of the blocks on the way.
func (m *Module) Nested(address string, path ...string) *hclsyntax.Block {
	m.t.Helper()
	block := m.Blocks[address]
	for _, kind := range path {
		var found *hclsyntax.Block
		for _, candidate := range block.Body.Blocks {
			if candidate.Type == kind {
				found = candidate
			}
		}
		if found == nil {
			m.t.Fatalf("%s has no block %s", address, strings.Join(path, "."))
		}
		block = found
	}
	return block
}

// Attributes are those of a block, evaluated.
func (m *Module) Attributes(block *hclsyntax.Block) map[string]any {
	m.t.Helper()
	all := map[string]any{}
	for name := range block.Body.Attributes {
		if name == "depends_on" { // not a value
			continue
		}
		value, _ := m.Attribute(block, name)
		all[name] = Plain(value)
	}
	return all
}

// Dynamic is the attributes of the blocks of a type that a block has with these variables, dynamic ones among them.
func (m *Module) Dynamic(block *hclsyntax.Block, kind string) (all []map[string]any) {
	m.t.Helper()
	schema := &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: kind}}}
	content, _, problems := dynblock.Expand(block.Body, m.Context).PartialContent(schema)
	m.must(problems)
	for _, one := range content.Blocks {
		names, problems := one.Body.JustAttributes()
		m.must(problems)
		schema := &hcl.BodySchema{}
		for name := range names {
			schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name})
		}
		content, problems := one.Body.Content(schema) // whose expressions know which of the blocks they are of
		m.must(problems)
		values := map[string]any{}
		for name, attribute := range content.Attributes {
			values[name] = Plain(m.Value(attribute.Expr))
		}
		all = append(all, values)
	}
	return all
}

// Undescribed says what is missing of the variables: each has a description and a type, and each but a bool is checked.
func (m *Module) Undescribed() (what []string) {
	for _, address := range slices.Sorted(maps.Keys(m.Blocks)) {
		name, variable := strings.CutPrefix(address, "var.")
		if !variable {
			continue
		}
		block := m.Blocks[address]
		for _, attribute := range []string{"description", "type"} {
			if block.Body.Attributes[attribute] == nil {
				what = append(what, fmt.Sprintf("the variable %s has no %s", name, attribute))
			}
		}
		if kind := m.Context.Variables["var"].GetAttr(name).Type(); kind != cty.Bool && len(block.Body.Blocks) == 0 {
			what = append(what, fmt.Sprintf("the variable %s takes anything", name))
		}
	}
	return what
}

// Refused says which variables' validations do not hold.
func (m *Module) Refused() (why []string) {
	for _, address := range slices.Sorted(maps.Keys(m.Blocks)) {
		name, variable := strings.CutPrefix(address, "var.")
		if !variable {
			continue
		}
		for _, block := range m.Blocks[address].Body.Blocks {
			if condition, _ := m.Attribute(block, "condition"); condition.False() {
				why = append(why, name)
			}
		}
	}
	return slices.Compact(why)
}

// Plain turns a value of Terraform's into strings, lists and maps.
func Plain(value cty.Value) any {
	switch kind := value.Type(); {
	case value.IsNull():
		return nil
	case kind.IsObjectType(), kind.IsMapType():
		object := map[string]any{}
		for name, member := range value.AsValueMap() {
			object[name] = Plain(member)
		}
		return object
	case value.CanIterateElements():
		list := []any{}
		for _, item := range value.AsValueSlice() {
			list = append(list, Plain(item))
		}
		return list
	}
	text, err := convert.Convert(value, cty.String)
	if err != nil {
		panic(err)
	}
	return text.AsString()
}

// functions are those of Terraform's that the modules use.
var functions = map[string]function.Function{
	"can":        tryfunc.CanFunc,
	"concat":     stdlib.ConcatFunc,
	"contains":   stdlib.ContainsFunc,
	"distinct":   stdlib.DistinctFunc,
	"floor":      stdlib.FloorFunc,
	"join":       stdlib.JoinFunc,
	"jsonencode": stdlib.JSONEncodeFunc,
	"length":     stdlib.LengthFunc,
	"lower":      stdlib.LowerFunc,
	"file": simple(cty.String, func(args []cty.Value) (cty.Value, error) {
		content, err := os.ReadFile(args[0].AsString())
		return cty.StringVal(string(content)), err
	}, cty.String),
	"filemd5": simple(cty.String, func(args []cty.Value) (cty.Value, error) {
		return cty.StringVal("md5 of " + args[0].AsString()), nil
	}, cty.String),
	"regex":       stdlib.RegexFunc,
	"setsubtract": stdlib.SetSubtractFunc,
	"replace":     stdlib.ReplaceFunc,
	"split":       stdlib.SplitFunc,
	"sort":        stdlib.SortFunc,
	"substr":      stdlib.SubstrFunc,
	"try":         tryfunc.TryFunc,
	"sha1": simple(cty.String, func(args []cty.Value) (cty.Value, error) {
		return cty.StringVal(fmt.Sprintf("%x", sha1.Sum([]byte(args[0].AsString())))), nil
	}, cty.String),
	"toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
	"alltrue": simple(cty.Bool, func(args []cty.Value) (cty.Value, error) {
		return cty.BoolVal(!slices.ContainsFunc(args[0].AsValueSlice(), cty.Value.False)), nil
	}, cty.DynamicPseudoType),
	"endswith": simple(cty.Bool, func(args []cty.Value) (cty.Value, error) {
		return cty.BoolVal(strings.HasSuffix(args[0].AsString(), args[1].AsString())), nil
	}, cty.String, cty.String),
	"one": simple(cty.String, func(args []cty.Value) (cty.Value, error) {
		for _, only := range args[0].AsValueSlice() {
			return only, nil
		}
		return cty.NullVal(cty.String), nil
	}, cty.DynamicPseudoType),
}

func simple(result cty.Type, do func([]cty.Value) (cty.Value, error), parameters ...cty.Type) function.Function {
	spec := &function.Spec{
		Type: function.StaticReturnType(result),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return do(args) },
	}
	for i, kind := range parameters {
		spec.Params = append(spec.Params, function.Parameter{Name: fmt.Sprint("p", i), Type: kind})
	}
	return function.New(spec)
}
