// Package aws_test checks what an operator deploys to AWS, the SAM template and the Terraform module: that the function's
// role is allowed the calls which the compiled function makes and nothing else, that the function is configured as it
// expects, and that alarms read metrics which it writes.
package aws_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/maia-rotate/maia-rotate/internal/iampolicy"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
)

// variant is one way to deploy.
type variant struct {
	name                string
	secret, credentials string
	services            bool // names the services, not the cluster
	key, vpc            bool
}

const keyARN = "arn:aws:kms:" + region + ":" + account + ":key/11111111-2222-3333-4444-555555555555"

// parameters are the template's.
func (v variant) parameters() map[string]string {
	given := map[string]string{"SecretArn1": v.secret, "CredentialsSecretArn": v.credentials, "AgentIds": sandbox.AgentID}
	if v.services {
		given["EcsServiceArns"] = serviceARN
	} else {
		given["EcsCluster"] = sandboxaws.Cluster
	}
	if v.key {
		given["KmsKeyArns"] = keyARN
	}
	if v.vpc {
		given["SubnetIds"], given["SecurityGroupIds"] = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"
	}
	return given
}

// variables are the module's.
func (v variant) variables() map[string]cty.Value {
	set := func(text string) cty.Value { return cty.SetVal([]cty.Value{cty.StringVal(text)}) }
	given := map[string]cty.Value{
		"package":                cty.StringVal("maia-rotate.zip"),
		"credentials_secret_arn": cty.StringVal(v.credentials),
		"secrets": cty.MapVal(map[string]cty.Value{"runner": cty.ObjectVal(map[string]cty.Value{
			"arn": cty.StringVal(v.secret), "agent_id": cty.StringVal(sandbox.AgentID),
		})}),
	}
	if v.services {
		given["ecs_services"] = set(sandboxaws.Cluster + "/" + sandboxaws.Service)
	} else {
		given["ecs_clusters"] = set(sandboxaws.Cluster)
	}
	if v.key {
		given["kms_key_arns"] = set(keyARN)
	}
	if v.vpc {
		given["vpc"] = cty.ObjectVal(map[string]cty.Value{"subnet_ids": set("subnet-0123456789abcdef0"),
			"security_group_ids": set("sg-0123456789abcdef0")})
	}
	return given
}

// templatePolicy is what the template gives the function's role, all its documents in one.
func templatePolicy(t *testing.T, loaded *template) iampolicy.Policy {
	t.Helper()
	role := loaded.resource("RotationRole")
	if elsewhere := append(loaded.resources("AWS::IAM::Policy"), loaded.resources("AWS::IAM::ManagedPolicy")...); len(elsewhere) > 0 ||
		role["ManagedPolicyArns"] != nil || loaded.resource("RotationFunction")["Policies"] != nil {
		t.Error("the role has policies that are not written out in it")
	}
	var all iampolicy.Policy
	for _, policy := range role["Policies"].([]any) {
		document, err := json.Marshal(policy.(map[string]any)["PolicyDocument"])
		if err != nil {
			t.Fatal(err)
		}
		all.Statements = append(all.Statements, parse(t, document).Statements...)
	}
	return all
}

func modulePolicy(t *testing.T, loaded *module) iampolicy.Policy {
	t.Helper()
	attached := loaded.Resources("aws_iam_role_policy")
	for _, kind := range []string{"aws_iam_role_policy_attachment", "aws_iam_role_policies_exclusive", "aws_iam_policy",
		"aws_iam_policy_attachment"} {
		attached = append(attached, loaded.Resources(kind)...)
	}
	role := loaded.Blocks["aws_iam_role.rotation"].Body
	if !slices.Equal(attached, []string{"aws_iam_role_policy.rotation"}) || role.Attributes["managed_policy_arns"] != nil ||
		len(role.Blocks) > 0 {
		t.Errorf("the role has policies that are not written out in one document: %v", attached)
	}
	return parse(t, loaded.policy("rotation"))
}

func parse(t *testing.T, document []byte) iampolicy.Policy {
	t.Helper()
	policy, err := iampolicy.Parse(document)
	if err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	return policy
}

// unrecorded are the permissions that others need, who act with the role or for it. They are not in a recording.
func (v variant) unrecorded() []iampolicy.Request {
	stream := logGroupARN + ":log-stream:2026/01/01/[$LATEST]0123456789abcdef"
	requests := []iampolicy.Request{ // Lambda writes what the function prints
		{Action: "logs:CreateLogStream", Resource: stream},
		{Action: "logs:PutLogEvents", Resource: stream},
	}
	if v.key { // Secrets Manager decrypts and encrypts on the role's behalf
		ofSecret := func(arn string) map[string]string { return map[string]string{"kms:EncryptionContext:SecretARN": arn} }
		requests = append(requests,
			iampolicy.Request{Action: "kms:Decrypt", Resource: keyARN, Context: ofSecret(v.credentials)},
			iampolicy.Request{Action: "kms:Decrypt", Resource: keyARN, Context: ofSecret(v.secret)},
			iampolicy.Request{Action: "kms:GenerateDataKey", Resource: keyARN, Context: ofSecret(v.secret)},
		)
	}
	if v.vpc { // Lambda makes the function's network interfaces
		for _, name := range []string{"AssignPrivateIpAddresses", "CreateNetworkInterface", "DeleteNetworkInterface", "DescribeNetworkInterfaces",
			"DescribeSubnets", "UnassignPrivateIpAddresses"} {
			requests = append(requests, iampolicy.Request{Action: "ec2:" + name, Resource: "*"})
		}
	}
	return requests
}

// strangers are requests like one that is needed, but for what belongs to others.
func (v variant) strangers(needed iampolicy.Request) (others []iampolicy.Request) {
	other := func(resource string, context map[string]string) {
		others = append(others, iampolicy.Request{Action: needed.Action, Resource: resource, Context: context})
	}
	switch service, name, _ := strings.Cut(needed.Action, ":"); {
	case service == "secretsmanager" && needed.Resource != "*":
		prefix := "arn:aws:secretsmanager:" + region + ":" + account + ":secret:"
		other(prefix+"another-AbCdEf", nil)
		other(needed.Resource[:len(needed.Resource)-len("AbCdEf")]+"another-AbCdEf", nil)
		other(v.secret, nil)
		other(v.credentials, nil)
	case name == "DescribeServices" || name == "UpdateService":
		other(ecsARN+":service/another/"+sandboxaws.Service, map[string]string{"ecs:cluster": ecsARN + ":cluster/another"})
		other(ecsARN+":service/"+sandboxaws.Cluster+"2/"+sandboxaws.Service, map[string]string{"ecs:cluster": clusterARN + "2"})
		if v.services {
			other(serviceARN+"2", map[string]string{"ecs:cluster": clusterARN})
		}
	case name == "ListServices":
		other("*", map[string]string{"ecs:cluster": ecsARN + ":cluster/another"})
		other("*", map[string]string{"ecs:cluster": clusterARN + "2"})
	case service == "logs":
		other("arn:aws:logs:"+region+":"+account+":log-group:another:log-stream:s", nil)
	case service == "kms":
		other(strings.Replace(keyARN, "1111", "9999", 1), needed.Context)
		other(keyARN, nil)
		other(keyARN, map[string]string{"kms:EncryptionContext:SecretARN": v.secret + "2"})
		other(keyARN, map[string]string{"kms:EncryptionContext:SecretARN": v.credentials})
	case service == "ec2":
		other("*", map[string]string{"lambda:SourceFunctionArn": functionARN}) // the function's own code
	}
	return others
}

// wrong compares a policy with what is needed. It names every action that is missing, reaches too far, or is not needed.
func (v variant) wrong(policy iampolicy.Policy, recorded []iampolicy.Request) (problems []string) {
	needs := append(v.unrecorded(), recorded...)
	actions := map[string]bool{}
	needed := func(r iampolicy.Request) bool {
		return slices.ContainsFunc(needs, func(n iampolicy.Request) bool {
			return n.Action == r.Action && n.Resource == r.Resource && maps.Equal(n.Context, r.Context)
		})
	}
	for _, need := range needs {
		actions[need.Action] = true
		if !policy.Allows(need) {
			problems = append(problems, fmt.Sprintf("%s on %s %v is needed and not allowed", need.Action, need.Resource, need.Context))
		}
		for _, stranger := range v.strangers(need) {
			if policy.Allows(stranger) && !needed(stranger) {
				problems = append(problems, fmt.Sprintf("%s is allowed on %s %v, which nobody needs", stranger.Action, stranger.Resource,
					stranger.Context))
			}
		}
	}
	for _, statement := range policy.Statements {
		for _, action := range statement.Actions {
			if !actions[action] { // an action with a wildcard never is
				problems = append(problems, fmt.Sprintf("%s (%s) is allowed and not needed", action, statement.Sid))
			}
		}
	}
	slices.Sort(problems)
	return slices.Compact(problems)
}

func TestTheRoleIsAllowedWhatTheFunctionDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	binary, err := sandboxaws.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, base := range []variant{{name: "cluster"}, {name: "services", services: true}} {
		t.Run(base.name, func(t *testing.T) {
			t.Parallel()
			recorded := record(t, binary, func(secret, credentials string) map[string]string {
				base.secret, base.credentials = secret, credentials
				return templateEnvironment(loadTemplate(t, base.parameters()))
			})
			for _, v := range []variant{base, base.with("a key", true, false), base.with("a VPC", false, true)} {
				for place, policy := range map[string]iampolicy.Policy{
					"template": templatePolicy(t, loadTemplate(t, v.parameters())),
					"module":   modulePolicy(t, loadModule(t, v.variables())),
				} {
					for _, problem := range v.wrong(policy, recorded.requests) {
						t.Errorf("%s, %s: %s", place, v.name, problem)
					}
				}
			}
			full := base.with("all", true, true)
			t.Run("test of the test", func(t *testing.T) {
				full.mustBeSeen(t, templatePolicy(t, loadTemplate(t, full.parameters())), recorded.requests)
				full.mustBeSeen(t, modulePolicy(t, loadModule(t, full.variables())), recorded.requests)
			})
		})
	}
}

func (v variant) with(name string, key, vpc bool) variant {
	v.name, v.key, v.vpc = v.name+" with "+name, key, vpc
	return v
}

// mustBeSeen makes a policy wrong, one action at a time.
func (v variant) mustBeSeen(t *testing.T, policy iampolicy.Policy, recorded []iampolicy.Request) {
	t.Helper()
	expect := func(action, what string) {
		t.Helper()
		if problems := v.wrong(policy, recorded); !slices.ContainsFunc(problems,
			func(problem string) bool { return strings.HasPrefix(problem, action+" ") }) {
			t.Errorf("%s: no problem names %s: %v", what, action, problems)
		}
	}
	changes := 0
	for i := range policy.Statements {
		statement := &policy.Statements[i]
		actions, resources, conditions := statement.Actions, statement.Resources, statement.Conditions
		for n, action := range actions {
			statement.Actions = slices.Delete(slices.Clone(actions), n, n+1)
			expect(action, "removed from "+statement.Sid)
			changes++
		}
		for _, action := range []string{"secretsmanager:DeleteSecret", "secretsmanager:*", "ecs:RunTask"} {
			statement.Actions = append(slices.Clone(actions), action)
			expect(action, "added to "+statement.Sid)
		}
		statement.Actions = actions
		if !slices.Contains(resources, "*") {
			statement.Resources = []string{"*"}
			expect(actions[0], "any resource of "+statement.Sid)
		}
		statement.Resources, statement.Conditions = resources, nil
		if len(conditions) > 0 {
			expect(actions[0], "no condition of "+statement.Sid)
		}
		statement.Conditions = conditions
	}
	if changes < 10 || len(v.wrong(policy, recorded)) > 0 {
		t.Errorf("%d changes were tried, and after them %v", changes, v.wrong(policy, recorded))
	}
}

// For the same deployment both grant the same.
func TestTheTemplateAndTheModuleGrantTheSame(t *testing.T) {
	for _, v := range []variant{{}, {services: true}, {key: true, vpc: true}} {
		v.secret, v.credentials = secretARN("runner"), secretARN("maia-api")
		template, module := templatePolicy(t, loadTemplate(t, v.parameters())), modulePolicy(t, loadModule(t, v.variables()))
		if got, want := grants(module), grants(template); !slices.Equal(got, want) {
			t.Errorf("the module grants\n%s\nthe template\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func grants(policy iampolicy.Policy) (all []string) {
	for _, s := range policy.Statements {
		for _, action := range s.Actions {
			for _, resource := range s.Resources {
				all = append(all, fmt.Sprintf("%s %s %s %v", s.Effect, action, resource, s.Conditions))
			}
		}
	}
	slices.Sort(all)
	return all
}

func secretARN(name string) string {
	return "arn:aws:secretsmanager:" + region + ":" + account + ":secret:" + name + "-AbCdEf"
}
