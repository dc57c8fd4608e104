package aws_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	doctoraws "github.com/maia-rotate/maia-rotate/internal/doctor/aws"
	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/iam"
	"github.com/maia-rotate/maia-rotate/internal/emulator/lambdaapi"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

const (
	functionName = "maia-rotate"
	functionARN  = "arn:aws:lambda:eu-west-1:123456789012:function:maia-rotate"
)

func install(t *testing.T) *sandboxaws.Installation {
	t.Helper()
	installation, err := sandboxaws.Install(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(installation.Close)
	return installation
}

// check checks the installation, and that nothing was changed and no secret printed.
func check(t *testing.T, i *sandboxaws.Installation, config aws.Config, secretARN string) (doctor.Report, error) {
	t.Helper()
	before := len(i.Changes())
	report, err := doctoraws.New(config).Check(t.Context(), secretARN)
	for _, change := range i.Changes()[before:] {
		t.Error("it called " + change)
	}
	printed, failed := json.Marshal(report)
	if failed != nil {
		t.Fatal(failed)
	}
	for _, leak := range i.Leaks(bytes.NewBuffer(printed), bytes.NewBufferString(fmt.Sprint(err))) {
		t.Error(leak)
	}
	return report, err
}

// short writes the findings that are not ok as "level check", and the checks that were not made.
func short(report doctor.Report) (findings, skipped string) {
	var found, not []string
	for _, finding := range report.Findings {
		if finding.Level != doctor.OK {
			found = append(found, string(finding.Level)+" "+finding.Check)
		}
	}
	for _, skip := range report.NotChecked {
		not = append(not, skip.Checks...)
	}
	return strings.Join(found, ", "), strings.Join(not, " ")
}

// deny has those calls of an operation refused whose request holds a text.
func deny(handler *awsjson.Handler, operation, text string) {
	handler.Inject(awsjson.Fault{
		Operation: operation, Kind: awsjson.AccessDenied, Match: func(raw []byte) bool { return bytes.Contains(raw, []byte(text)) },
	})
}

func play(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCheck disturbs an installation that is in order.
func TestCheck(t *testing.T) {
	t.Parallel()
	const maiaOf = "maia-region maia-token maia-agent maia-role maia-runner maia-secret"
	for name, test := range map[string]struct {
		disturb  func(*testing.T, *sandboxaws.Installation)
		findings string
		skipped  string
		says     string // in a finding that is not ok
	}{
		"nothing": {},

		// What the operator may not see.
		"no right to the value": {
			func(_ *testing.T, i *sandboxaws.Installation) { deny(i.Secrets.Handler, "GetSecretValue", i.SecretARN) },
			"warning secret-value", "the state of the services note maia-secret terraform plan",
			"your credentials do not allow secretsmanager:GetSecretValue",
		},
		"no right to the API credential": {
			func(_ *testing.T, i *sandboxaws.Installation) { deny(i.Secrets.Handler, "GetSecretValue", "maia-api") },
			"warning maia-credential", maiaOf + " plan", "your credentials do not allow",
		},
		"no right to the secret's policy": {
			func(_ *testing.T, i *sandboxaws.Installation) { deny(i.Secrets.Handler, "GetResourcePolicy", "") },
			"warning secret-policy", "", "your credentials do not allow",
		},
		"no right to the concurrency": {
			func(_ *testing.T, i *sandboxaws.Installation) { i.Lambda.Deny("GetFunctionConcurrency") },
			"warning function-concurrency", "", "lambda:GetFunctionConcurrency",
		},
		"no right to the function's policy": {
			func(_ *testing.T, i *sandboxaws.Installation) { i.Lambda.Deny("GetPolicy") }, "warning function-policy", "", "lambda:GetPolicy",
		},
		"no right to simulate": {
			func(_ *testing.T, i *sandboxaws.Installation) { i.IAM.Deny("SimulatePrincipalPolicy") },
			"warning role", "", "could not be tested: your credentials do not allow iam:SimulatePrincipalPolicy",
		},
		"no right to the rules": {
			func(_ *testing.T, i *sandboxaws.Installation) { deny(i.Events.Handler, "ListRuleNamesByTarget", "") }, "warning healing", "", "events:",
		},
		"no right to the services": {
			func(_ *testing.T, i *sandboxaws.Installation) { deny(i.ECS.Handler, "ListServices", "") },
			"warning services", "note maia-agent maia-role maia-runner maia-secret role ecs:DescribeServices role ecs:UpdateService terraform plan",
			"your credentials are not enough",
		},

		// The secret.
		"an intent is open": {
			func(t *testing.T, i *sandboxaws.Installation) {
				over := maia.NewSecret(i.Maia.LiveSecret(sandbox.AgentID)).Fingerprint()
				label(t, i, "maia-rotate/intent/"+string(over)+"/20260102T030405.000Z/bbbbbbbb")
			},
			"warning note", "", "a refresh was about to be sent at 2026-01-02 03:04 UTC",
		},
		"a pause is left": {
			func(t *testing.T, i *sandboxaws.Installation) {
				label(t, i, "maia-rotate/paused/20260102T030405.000Z/20260102T040405.000Z/bbbbbbbb")
			},
			"warning note", "", "the function paused the runner at 2026-01-02 03:04 UTC, until 2026-01-02 04:04 UTC",
		},
		"a restart is owed": {
			func(t *testing.T, i *sandboxaws.Installation) {
				label(t, i, "maia-rotate/applied/none/20260102T030405.000Z")
			},
			"warning note", "", "a restart of the runner is owed",
		},

		// The function, its policy and role.
		"another function": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Secrets.EnableRotation(i.SecretARN, functionARN+"-2")
			},
			"problem function", "function-policy services secret-policy maia role healing plan terraform", "there is no function",
		},
		"a function elsewhere": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Secrets.EnableRotation(i.SecretARN, strings.Replace(functionARN, "eu-west-1", "eu-west-3", 1))
			},
			"problem rotation, problem function", "schedule function-policy services secret-policy maia role healing plan terraform",
			"in another region or account",
		},
		"an alias": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Lambda.UpdateFunction(functionName, func(f *lambdaapi.Function) {
					f.Aliases = map[string]string{"live": strings.ReplaceAll(f.Policy, functionARN, functionARN+":live")}
				})
				i.Secrets.EnableRotation(i.SecretARN, functionARN+":live")
			}, "", "", "",
		},
		"a secret that it does not serve": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Lambda.UpdateFunction(functionName, func(f *lambdaapi.Function) { f.Environment["MAIA_SECRET_ARNS"] += "other" })
			},
			"problem function-environment", "plan", "MAIA_SECRET_ARNS does not have this secret",
		},
		"it must list secrets": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Lambda.UpdateFunction(functionName, func(f *lambdaapi.Function) { delete(f.Environment, "MAIA_SECRET_ARNS") })
			},
			"problem role", "", "may not secretsmanager:ListSecrets on *",
		},
		"a key of one's own": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Secrets.SetKMSKey(i.SecretARN, "0a1b2c3d-0000-4000-8000-000000000000")
			},
			"warning role, warning role", "", "do not allow kms:Decrypt on " +
				"arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000",
		},
		"a key by its alias": {
			func(_ *testing.T, i *sandboxaws.Installation) { i.Secrets.SetKMSKey(i.SecretARN, "alias/runners") },
			"warning role", "", "that is the key's alias",
		},
		"the rule may not invoke": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Lambda.UpdateFunction(functionName, func(f *lambdaapi.Function) {
					f.Policy = strings.ReplaceAll(f.Policy, "events.amazonaws.com", "sns.amazonaws.com")
				})
			},
			"problem healing", "", "the rule maia-rotate-heal may not invoke the function",
		},

		// The runner and Maia.
		"a deployment under way": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.ECS.HangNextDeployment(sandboxaws.Cluster, sandboxaws.Service)
				i.ECS.Deploy(sandboxaws.Cluster, sandboxaws.Service)
			},
			"warning services, warning plan", "", "a deployment is under way",
		},
		"a deployment that cannot move": {
			func(t *testing.T, i *sandboxaws.Installation) { play(t, i.ECS.Play("cannot-move")) },
			"problem services", "plan", "with maximumPercent 100 and minimumHealthyPercent 100 of 1 tasks",
		},
		"blue/green": {
			func(t *testing.T, i *sandboxaws.Installation) { play(t, i.ECS.Play("blue-green")) },
			"problem services", "plan", "has the deployment strategy BLUE_GREEN",
		},
		"short of tasks": {
			func(t *testing.T, i *sandboxaws.Installation) { play(t, i.ECS.Play("short-of-tasks")) },
			"warning services, warning plan", "", "1 of 2 running",
		},
		"a service that is being deleted": {
			func(t *testing.T, i *sandboxaws.Installation) { play(t, i.ECS.Play("draining-sibling")) },
			"warning services", "", "-old is DRAINING",
		},
		"a replica that is stuck": {
			func(t *testing.T, i *sandboxaws.Installation) { play(t, i.Secrets.Play("replicas-stuck")) },
			"warning replicas", "", "the replica in eu-central-1 is Failed",
		},
		"another region": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Lambda.UpdateFunction(functionName, func(f *lambdaapi.Function) {
					delete(f.Environment, "MAIA_API_URL")
					f.Environment["MAIA_REGION"] = "us1"
				})
			},
			"problem maia-region", "maia-token maia-agent maia-role maia-runner maia-secret plan",
			"MAIA_REGION is us1, but that in the runner's task definition is eu1",
		},
		"Maia is down": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Maia.Inject(maiatest.Fault{Call: maiatest.Token, Kind: maiatest.Status5xx, Status: 500})
			},
			"warning maia-token", "maia-agent maia-role maia-runner maia-secret plan", "could not be tested from here",
		},
		"the credential is no JSON": {
			func(_ *testing.T, i *sandboxaws.Installation) { i.Secrets.Put("maia-api-credential", "text") },
			"problem maia-credential", maiaOf + " plan", "is not JSON",
		},
		"refreshed in the console": {
			func(_ *testing.T, i *sandboxaws.Installation) { i.Maia.ConsoleRefresh(sandbox.AgentID) },
			"problem maia-runner, warning maia-secret", "plan", "The next healing event will: store, restart, await connected",
		},
		"another value, never seen to agree": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Secrets.Put(i.SecretARN, fmt.Sprintf(`{"client_id":%q,"client_secret":"a-value-from-elsewhere"}`, sandbox.ClientID))
			},
			"problem maia-secret", "plan", "never seen to agree",
		},
		"the secret of another runner": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Secrets.Put(i.SecretARN, `{"client_id":"another","client_secret":"a-value-from-elsewhere"}`)
			},
			"problem maia-secret", "plan", `the secret is for client "another"`,
		},
		"stopping": {
			func(_ *testing.T, i *sandboxaws.Installation) { i.Maia.SetStatus(sandbox.AgentID, "stopping") },
			"warning maia-runner, warning plan", "", `status "stopping"`,
		},
		"too many labels": {
			func(t *testing.T, i *sandboxaws.Installation) {
				for n := range 15 {
					label(t, i, fmt.Sprint("label-", n))
				}
			},
			"problem plan", "", "staging labels",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := install(t)
			if test.disturb != nil {
				test.disturb(t, i)
			}
			report, err := check(t, i, i.AWS(), i.SecretARN)
			if err != nil {
				t.Fatal(err)
			}
			findings, skipped := short(report)
			if findings != test.findings || skipped != test.skipped {
				t.Errorf("found are    %s\nwant         %s\nnot checked: %s\nwant         %s", findings, test.findings, skipped, test.skipped)
			}
			if !slices.ContainsFunc(report.Findings, func(f doctor.Finding) bool {
				return (f.Level != doctor.OK || test.findings == "") && strings.Contains(f.Text, test.says)
			}) {
				t.Errorf("no finding says %q", test.says)
			}
			if t.Failed() {
				for _, finding := range report.Findings {
					t.Logf("%s %s: %s -> %s", finding.Level, finding.Check, finding.Text, finding.Hint)
				}
			}
		})
	}
}

// label attaches a label to the current version, as a run of the function does.
func label(t *testing.T, i *sandboxaws.Installation, name string) {
	t.Helper()
	client := secretsmanager.NewFromConfig(i.AWS())
	value, err := client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &i.SecretARN})
	if err == nil {
		_, err = client.UpdateSecretVersionStage(t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
			SecretId: &i.SecretARN, VersionStage: &name, MoveToVersionId: value.VersionId,
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSecretsThatCannotRotate checks secrets that have nothing around them.
func TestSecretsThatCannotRotate(t *testing.T) {
	t.Parallel()
	i := install(t)
	for name, test := range map[string]struct{ arn, findings, skipped string }{
		"none": {strings.Replace(i.SecretARN, "matillion", "other", 1), "problem secret", "everything else"},
		"without a value": {
			i.Secrets.AddEmptySecret("empty"), "problem secret, problem rotation",
			"secret-value pending schedule function function-policy services secret-policy maia role healing plan terraform",
		},
		"binary": {
			i.Secrets.AddBinarySecret("binary", []byte{1}), "problem secret-value, problem rotation",
			"schedule function function-policy services secret-policy maia role healing plan terraform",
		},
		"never configured": {
			i.Secrets.AddSecret("plain", `{"client_id":"a","client_secret":"b"}`), "problem rotation",
			"schedule function function-policy services secret-policy maia role healing plan terraform",
		},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := check(t, i, i.AWS(), test.arn)
			if err != nil {
				t.Fatal(err)
			}
			if findings, skipped := short(report); findings != test.findings || skipped != test.skipped {
				t.Errorf("found are    %s\nwant         %s\nnot checked: %s\nwant         %s", findings, test.findings, skipped, test.skipped)
			}
			plan, err := doctoraws.New(i.AWS()).Plan(t.Context(), test.arn)
			if err != nil || plan.Error == nil {
				t.Errorf("the plan is %+v, %v", plan, err)
			}
		})
	}
}

// TestIncompleteARN gives the ARN without its six random characters, which Secrets Manager takes.
func TestIncompleteARN(t *testing.T) {
	t.Parallel()
	i := install(t)
	incomplete := i.SecretARN[:len(i.SecretARN)-len("-123456")]
	report, err := check(t, i, i.AWS(), incomplete)
	if findings, skipped := short(report); err != nil || findings+skipped != "" {
		t.Errorf("found are %s, not checked %s, %v", findings, skipped, err)
	}
	if plan, err := doctoraws.New(i.AWS()).Plan(t.Context(), incomplete); err != nil || plan.Error != nil || plan.Secret != i.SecretARN {
		t.Errorf("the plan is %+v, %v", plan, err)
	}
}

// override gives one service another address.
type override struct{ sdkID, url string }

func (o override) GetServiceBaseEndpoint(_ context.Context, sdkID string) (string, bool, error) {
	return o.url, sdkID == o.sdkID, nil
}

// TestSimulatorByAction has IAM answer in its newer way, and with policies that ask for more than is known.
func TestSimulatorByAction(t *testing.T) {
	t.Parallel()
	i := install(t)
	for name, test := range map[string]struct {
		policy   string
		findings string
		says     string
	}{
		"all": {`{"Effect":"Allow","Action":"*","Resource":"*"}`, "", "may do what the function does"},
		"one denied": {
			`{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"ecs:UpdateService","Resource":"*"}`,
			"problem role", "is denied ecs:UpdateService",
		},
		"one missing": {
			`{"Effect":"Allow","Action":["secretsmanager:*","ecs:List*","ecs:Describe*"],"Resource":"*"}`, "problem role",
			"may not ecs:UpdateService on",
		},
		"from a network": {
			`{"Effect":"Allow","Action":["secretsmanager:*","ecs:List*","ecs:Describe*"],"Resource":"*"},
			 {"Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"vpc-1"}}}`,
			"warning role", "it depends on aws:SourceVpc",
		},
		"by the function only": {
			`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ArnEquals":{"lambda:SourceFunctionArn":"` + functionARN +
				`"},"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}}`,
			"", "may do what the function does",
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := iam.New(iam.Options{ResultsByAction: true})
			server.AddRole("maia-rotate", `{"Version":"2012-10-17","Statement":[`+test.policy+`]}`)
			address := httptest.NewServer(server)
			defer address.Close()
			config := i.AWS()
			config.ConfigSources = append([]any{override{"IAM", address.URL}}, config.ConfigSources...)
			report, err := check(t, i, config, i.SecretARN)
			if findings, _ := short(report); err != nil || findings != test.findings {
				t.Errorf("found are %s, want %s, %v", findings, test.findings, err)
			}
			if !slices.ContainsFunc(report.Findings, func(f doctor.Finding) bool {
				return f.Check == "role" &&
					strings.Contains(f.Text, test.says)
			}) {
				t.Errorf("no finding says %q: %+v", test.says, report.Findings)
			}
		})
	}
}
