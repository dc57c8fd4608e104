package iampolicy_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
)

const (
	secret   = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:runner-AbCdEf"
	function = "arn:aws:lambda:eu-west-1:123456789012:function:rotate"
	role     = "arn:aws:iam::123456789012:role/runner"
)

func TestParse(t *testing.T) {
	got, err := iampolicy.Parse([]byte(`{
		"Version": "2012-10-17", "Id": "default",
		"Statement": [{
			"Sid": "one", "Effect": "Allow",
			"Principal": {"Service": "secretsmanager.amazonaws.com", "AWS": ["1", "2"]},
			"Action": "lambda:InvokeFunction", "Resource": ["` + function + `", "*"],
			"Condition": {
				"StringEquals": {"AWS:SourceAccount": "123456789012", "b": ["x", "y"]},
				"Bool": {"aws:SecureTransport": false}, "NumericLessThan": {"n": [1, 2.5]}
			}
		}, {"Effect": "Deny", "Principal": "*", "Action": ["*"]}]
	}`))
	if err != nil {
		t.Fatal(err)
	}
	want := iampolicy.Policy{Statements: []iampolicy.Statement{
		{
			Sid: "one", Effect: "Allow",
			Actions: []string{"lambda:InvokeFunction"}, Resources: []string{function, "*"},
			Principals: map[string][]string{"Service": {"secretsmanager.amazonaws.com"}, "AWS": {"1", "2"}},
			Conditions: []iampolicy.Condition{
				{Operator: "StringEquals", Key: "AWS:SourceAccount", Values: []string{"123456789012"}},
				{Operator: "StringEquals", Key: "b", Values: []string{"x", "y"}},
				{Operator: "Bool", Key: "aws:SecureTransport", Values: []string{"false"}},
				{Operator: "NumericLessThan", Key: "n", Values: []string{"1", "2.5"}},
			},
		},
		{Effect: "Deny", Actions: []string{"*"}, Principals: map[string][]string{"AWS": {"*"}}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// allowAll are the first members of a statement.
const allowAll = `"Effect": "Allow", "Action": "*", `

// statement returns a document with one statement that has the members.
func statement(members string) string {
	return `{"Version": "2012-10-17", "Statement": {` + members + `}}`
}

func TestParseErrors(t *testing.T) {
	for document, want := range map[string]string{
		``:                         "not a JSON object",
		`[]`:                       "not a JSON object",
		`{"Statement": [}`:         "not valid JSON",
		`{"Statement": []} x`:      "not valid JSON",
		`{"Version": "2012-10-17"`: "not valid JSON",
		`{"Id": "x"} x`:            "not valid JSON",
		`{}`:                       "no Statement",
		`{"Statement": []}`:        "Statement: empty",
		`{"Statement": "x"}`:       "Statement: number 1: not a JSON object",
		`{"Version": 1}`:           "Version: not a string",
		`{"Version": "2020"}`:      `Version: "2020" is unknown`,
		`{"Statements": []}`:       "Statements: unknown member",
		`{"Id": "a", "Id": "b"}`:   "Id is there twice",

		statement(allowAll + `"Resource": "*", "Foo": 1`):                               "Foo: unknown member",
		statement(`"Sid": "x", "Effect": "Allow", "NotAction": "*", "Resource": "*"`):   "Statement: number 1 (x): NotAction: not supported",
		statement(allowAll + `"NotResource": "*"`):                                      "NotResource: not supported",
		statement(allowAll + `"NotPrincipal": "*"`):                                     "NotPrincipal: not supported",
		statement(`"Action": "*", "Resource": "*"`):                                     "no Effect",
		statement(`"Effect": "allow", "Action": "*", "Resource": "*"`):                  `Effect: "allow" is neither Allow nor Deny`,
		statement(`"Effect": "Allow", "Resource": "*"`):                                 "no Action",
		statement(`"Effect": "Allow", "Action": [], "Resource": "*"`):                   "Action: empty",
		statement(`"Effect": "Allow", "Action": ["s3:Get", 1], "Resource": "*"`):        "Action: not a string",
		statement(`"Effect": "Allow", "Action": null, "Resource": "*"`):                 "Action: not a string",
		statement(`"Effect": "Allow", "Action": "GetSecretValue", "Resource": "*"`):     "neither service:action nor *",
		statement(`"Effect": "Allow", "Action": "*"`):                                   "no Resource",
		statement(allowAll + `"Resource": "runner"`):                                    "neither an ARN nor *",
		statement(allowAll + `"Action": "*", "Resource": "*"`):                          "Action is there twice",
		statement(allowAll + `"Principal": "x"`):                                        "Principal:",
		statement(allowAll + `"Principal": {}`):                                         "Principal: empty",
		statement(allowAll + `"Principal": {"Services": "x"}`):                          "Services: unknown kind",
		statement(allowAll + `"Resource": "*", "Condition": []`):                        "Condition: not a JSON object",
		statement(allowAll + `"Resource": "*", "Condition": {"Bool": {"k": []}}`):       "Condition: Bool: k: empty",
		statement(allowAll + `"Resource": "*", "Condition": {"Bool": {"k": [null]}}`):   "Condition: Bool: k: not a string",
		statement(allowAll + `"Resource": "arn:aws:s3:::${aws:username}"`):              "policy variables are not supported",
		statement(allowAll + `"Resource": "*", "Condition": {"Bool": {"k": "${x:y}"}}`): "policy variables are not supported",
		statement(allowAll + `"Resource": "*"}, {`):                                     "not valid JSON",
	} {
		got, err := iampolicy.Parse([]byte(document))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "iampolicy: ") {
			t.Errorf("%s: err = %v, want %q", document, err, want)
		}
		if got.Statements != nil {
			t.Errorf("%s: an error and a policy", document)
		}
	}
}

// In the older version of the language, which is also the default, a variable is text.
func TestVariableIsTextInOldVersion(t *testing.T) {
	p := parse(t, `{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::${x}"}}`)
	if !p.Allows(iampolicy.Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::${x}"}) {
		t.Error("not allowed")
	}
}

func parse(t *testing.T, document string) iampolicy.Policy {
	t.Helper()
	p, err := iampolicy.Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestActionAndResource(t *testing.T) {
	const get = "secretsmanager:GetSecretValue"
	for _, test := range []struct {
		action, resource string // of the policy
		request          iampolicy.Request
		want             bool
	}{
		{get, secret, iampolicy.Request{Action: get, Resource: secret}, true},
		{"SecretsManager:getsecretvalue", secret, iampolicy.Request{Action: get, Resource: secret}, true},
		{"secretsmanager:Get*", "*", iampolicy.Request{Action: get, Resource: secret}, true},
		{"secretsmanager:*Value", "*", iampolicy.Request{Action: get, Resource: secret}, true},
		{"secretsmanager:G?tSecret*", "*", iampolicy.Request{Action: get, Resource: secret}, true},
		{"*", "*", iampolicy.Request{Action: get, Resource: secret}, true},
		{"secretsmanager:GetSecret", "*", iampolicy.Request{Action: get, Resource: secret}, false},
		{"secretsmanager:GetSecretValue?", "*", iampolicy.Request{Action: get, Resource: secret}, false},
		{"secretsmanager:*Secret", "*", iampolicy.Request{Action: get, Resource: secret}, false},
		{"ecs:*", "*", iampolicy.Request{Action: get, Resource: secret}, false},

		{get, strings.Replace(secret, "runner", "Runner", 1), iampolicy.Request{Action: get, Resource: secret}, false},
		{get, secret[:len(secret)-6] + "??????", iampolicy.Request{Action: get, Resource: secret}, true},
		{get, secret[:len(secret)-6] + "?????", iampolicy.Request{Action: get, Resource: secret}, false},
		{get, secret[:len(secret)-6] + "*", iampolicy.Request{Action: get, Resource: secret}, true},
		{get, secret[:len(secret)-7], iampolicy.Request{Action: get, Resource: secret}, false},
		{get, "arn:aws:secretsmanager:*:123456789012:secret:*", iampolicy.Request{Action: get, Resource: secret}, true},
		{get, "arn:aws:secretsmanager:*:secret:runner-*", iampolicy.Request{Action: get, Resource: secret}, true}, // beyond a colon
		{get, "arn:aws:secretsmanager", iampolicy.Request{Action: get, Resource: secret}, true},                   // incomplete
		{get, "arn:aws:ecs", iampolicy.Request{Action: get, Resource: secret}, false},
		{get, "*", iampolicy.Request{Action: get, Resource: "*"}, true},
		{get, secret, iampolicy.Request{Action: get, Resource: "*"}, false},
		{get, "arn:aws:secretsmanager:*:*:secret:*", iampolicy.Request{Action: get, Resource: "*"}, false},
	} {
		p := parse(t, statement(`"Effect": "Allow", "Action": "`+test.action+`", "Resource": "`+test.resource+`"`))
		if got := p.Allows(test.request); got != test.want {
			t.Errorf("%s on %s allows %+v: %v", test.action, test.resource, test.request, got)
		}
	}
}

func TestDenyWins(t *testing.T) {
	allow := `{"Effect": "Allow", "Action": ["s3:Get", "s3:Put"], "Resource": ["arn:aws:s3:::a", "arn:aws:s3:::b"]}`
	deny := `{"Effect": "Deny", "Action": "s3:Put", "Resource": "arn:aws:s3:::b"}`
	for _, order := range []string{allow + "," + deny, deny + "," + allow} {
		p := parse(t, `{"Version": "2012-10-17", "Statement": [`+order+`]}`)
		for _, test := range []struct {
			action, bucket string
			want           bool
		}{
			{"s3:Get", "a", true}, {"s3:Get", "b", true}, {"s3:Put", "a", true}, {"s3:Put", "b", false}, {"s3:Get", "c", false},
			{"s3:List", "a", false},
		} {
			if got := p.Allows(iampolicy.Request{Action: test.action, Resource: "arn:aws:s3:::" + test.bucket}); got != test.want {
				t.Errorf("%s on %s: %v", test.action, test.bucket, got)
			}
		}
	}
}

func TestPrincipal(t *testing.T) {
	const sm = "secretsmanager.amazonaws.com"
	for _, test := range []struct {
		principal string // "" is none in the statement
		request   string
		want      bool
	}{
		{"", sm, true},
		{"", "", true},
		{`"*"`, sm, true},
		{`{"AWS": "*"}`, sm, true},
		{`{"Service": "` + sm + `"}`, sm, true},
		{`{"Service": ["x", "` + sm + `"]}`, sm, true},
		{`{"Service": "events.amazonaws.com"}`, sm, false},
		{`{"Service": "` + sm + `"}`, "", false},
		{`{"Service": "*.amazonaws.com"}`, sm, false}, // no wildcards but the whole
		{`{"AWS": "` + sm + `"}`, sm, false},
		{`{"AWS": "` + role + `"}`, role, true},
		{`{"AWS": "` + role + `"}`, role + "s", false},
		{`{"AWS": "123456789012"}`, role, true},
		{`{"AWS": "arn:aws:iam::123456789012:root"}`, role, true},
		{`{"AWS": "arn:aws:iam::123456789013:root"}`, role, false},
		{`{"AWS": "123456789013"}`, role, false},
	} {
		members := `"Effect": "Allow", "Action": "lambda:*", "Resource": "*"`
		if test.principal != "" {
			members += `, "Principal": ` + test.principal
		}
		r := iampolicy.Request{Action: "lambda:InvokeFunction", Resource: function, Principal: test.request}
		if got := parse(t, statement(members)).Allows(r); got != test.want {
			t.Errorf("%s allows %q: %v", test.principal, test.request, got)
		}
	}
}

func TestResourcePolicyWithoutResource(t *testing.T) {
	p := parse(t, statement(`"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}`))
	r := iampolicy.Request{Action: "sts:AssumeRole", Resource: role, Principal: "lambda.amazonaws.com"}
	if !p.Allows(r) {
		t.Error("not allowed")
	}
	// A statement without resources that was put together in Go is not about every resource.
	if (iampolicy.Statement{Effect: "Allow", Actions: []string{"*"}}).Matches(r) {
		t.Error("a statement without resource and principal matches")
	}
}

func TestConditions(t *testing.T) {
	context := map[string]string{
		"aws:SourceAccount": "123456789012", "aws:SourceArn": secret, "aws:SecureTransport": "true", "name": "Runner",
	}
	for _, test := range []struct {
		condition   string
		allow, deny bool // whether a statement with that effect matches
	}{
		{`{"StringEquals": {"aws:SourceAccount": "123456789012"}}`, true, true},
		{`{"StringEquals": {"AWS:SourceAccount": "123456789012"}}`, true, true},
		{`{"StringEquals": {"aws:SourceAccount": ["1", "123456789012"]}}`, true, true},
		{`{"StringEquals": {"aws:SourceAccount": ["1", "2"]}}`, false, false},
		{`{"StringEquals": {"aws:SourceAccount": "*"}}`, false, false},
		{`{"StringEquals": {"name": "runner"}}`, false, false},
		{`{"StringEquals": {"absent": "x"}}`, false, false},
		{`{"StringEqualsIfExists": {"absent": "x"}}`, true, true},
		{`{"StringEqualsIfExists": {"name": "x"}}`, false, false},
		{`{"StringEqualsIfExists": {"name": "Runner"}}`, true, true},
		{`{"StringEqualsIgnoreCase": {"name": "runner"}}`, true, true},
		{`{"StringNotEquals": {"name": "Runner"}}`, false, false},
		{`{"StringNotEquals": {"name": ["x", "Runner"]}}`, false, false},
		{`{"StringNotEquals": {"name": ["x", "y"]}}`, true, true},
		{`{"StringNotEquals": {"absent": "x"}}`, true, true},
		{`{"StringNotEqualsIgnoreCase": {"name": "RUNNER"}}`, false, false},
		{`{"StringLike": {"name": "R?nn*"}}`, true, true},
		{`{"StringLike": {"name": "r*"}}`, false, false},
		{`{"StringLike": {"absent": "*"}}`, false, false},
		{`{"StringLikeIfExists": {"absent": "x"}}`, true, true},
		{`{"StringNotLike": {"name": "R*"}}`, false, false},

		{`{"ArnEquals": {"aws:SourceArn": "` + secret + `"}}`, true, true},
		{`{"ArnEquals": {"aws:SourceArn": "arn:aws:secretsmanager:*:*:secret:runner-*"}}`, true, true},
		{`{"ArnLike": {"aws:SourceArn": "arn:aws:secretsmanager:*:*:secret:runner-??????"}}`, true, true},
		{`{"ArnLike": {"aws:SourceArn": "arn:aws:secretsmanager:*:secret:runner-*"}}`, false, false}, // within its part
		{`{"ArnLike": {"aws:SourceArn": "arn:aws:secretsmanager:*:*:secret:other-*"}}`, false, false},
		{`{"ArnLike": {"aws:SourceArn": "*"}}`, false, false},
		{`{"ArnLike": {"name": "arn:*:*:*:*:*"}}`, false, false},
		{`{"ArnLike": {"absent": "arn:*:*:*:*:*"}}`, false, false},
		{`{"ArnEqualsIfExists": {"absent": "arn:*:*:*:*:*"}}`, true, true},
		{`{"ArnLikeIfExists": {"absent": "arn:*:*:*:*:*"}}`, true, true},
		{`{"ArnNotLike": {"aws:SourceArn": "arn:aws:secretsmanager:*:*:*"}}`, false, false},
		{`{"ArnNotEquals": {"aws:SourceArn": "` + function + `"}}`, true, true},

		{`{"Bool": {"aws:SecureTransport": true}}`, true, true},
		{`{"Bool": {"aws:SecureTransport": "false"}}`, false, false},
		{`{"Null": {"name": "true"}}`, false, false},
		{`{"Null": {"name": "false"}}`, true, true},
		{`{"Null": {"absent": true}}`, true, true},
		{`{"Null": {"absent": false}}`, false, false},

		{`{"NumericLessThan": {"name": "1"}}`, false, true},
		{`{"stringequals": {"name": "Runner"}}`, false, true},
		{`{"StringEquals2IfExists": {"absent": "1"}}`, false, true},
		{`{"NumericLessThan": {"name": "1"}, "StringEquals": {"name": "x"}}`, false, false},

		{`{"StringEquals": {"name": "Runner", "aws:SourceAccount": "x"}}`, false, false}, // all keys
		{`{"StringEquals": {"name": "Runner"}, "StringLike": {"name": "x"}}`, false, false},
		{`{}`, true, true},
	} {
		for effect, want := range map[string]bool{"Allow": test.allow, "Deny": test.deny} {
			p := parse(t, statement(`"Effect": "`+effect+`", "Action": "*", "Resource": "*", "Condition": `+test.condition))
			r := iampolicy.Request{Action: "a:B", Resource: "*", Context: context}
			if got := p.Statements[0].Matches(r); got != want {
				t.Errorf("%s if %s: %v", effect, test.condition, got)
			}
			if got := p.Allows(r); got != (effect == "Allow" && want) {
				t.Errorf("%s if %s allows: %v", effect, test.condition, got)
			}
		}
	}
}

// Statements that were put together in Go, not parsed, deny by anything but "Allow".
func TestNoEffectIsNoAllow(t *testing.T) {
	p := iampolicy.Policy{Statements: []iampolicy.Statement{{Actions: []string{"*"}, Resources: []string{"*"}}}}
	if p.Allows(iampolicy.Request{Action: "a:B", Resource: "*"}) {
		t.Error("allowed")
	}
}
