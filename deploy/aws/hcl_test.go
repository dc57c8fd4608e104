package aws_test

import (
	"encoding/json"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/zclconf/go-cty/cty"

	"github.com/maia-rotate/maia-rotate/internal/terraformtest"
)

// module is the Terraform module, read for a set of variables. Attributes of its resources that only AWS knows are made
// up.
type module struct {
	*terraformtest.Module
	t *testing.T
}

func loadModule(t *testing.T, given map[string]cty.Value) *module {
	t.Helper()
	current := func(attribute, value string) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"current": cty.ObjectVal(map[string]cty.Value{attribute: cty.StringVal(value)})})
	}
	return &module{t: t, Module: terraformtest.Load(t, "terraform", given, terraformtest.World{
		Data: map[string]cty.Value{
			"aws_caller_identity": current("account_id", account),
			"aws_partition":       current("partition", "aws"),
			"aws_region":          current("id", region),
		},
		Attribute: func(address string) map[string]cty.Value {
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
			return made
		},
	})}
}

func (m *module) must(problems hcl.Diagnostics) {
	m.t.Helper()
	if problems.HasErrors() {
		m.t.Fatal(problems)
	}
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
	body, problems := dynblock.Expand(m.Blocks["data.aws_iam_policy_document."+name].Body, m.Context).Content(&policyBlock)
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
		value, problems := attribute.Expr.Value(m.Context)
		m.must(problems)
		all[name] = terraformtest.Plain(value)
	}
	return all
}
