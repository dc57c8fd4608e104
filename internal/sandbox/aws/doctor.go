package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/eventbridge"
	"github.com/maia-rotate/maia-rotate/internal/emulator/iam"
	"github.com/maia-rotate/maia-rotate/internal/emulator/lambdaapi"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

const (
	functionName   = "maia-rotate"
	healRule       = "maia-rotate-heal"
	apiSecretName  = "maia-api-credential"
	account        = "123456789012"
	rotateSchedule = "rate(30 days)"
	rotateWindow   = "3h"
)

// Installation is a World with what an operator has deployed around it, as whoever checks it meets it: the function with
// its role and policy, and the healing rule. There is no compiled function in it, and nothing invokes one.
type Installation struct {
	*World
	Lambda *lambdaapi.Server
	IAM    *iam.Server
	Events *eventbridge.Server

	endpoints map[string]string // by the SDK's name of the service
}

// blueprint is how an installation is deployed; [deployed] is as the templates of this project do it.
type blueprint struct {
	role     []statement
	function lambdaapi.Function
	policy   []statement // of the function
	rule     *eventbridge.Rule
	schedule string
}

// statement is one statement of a policy, as JSON has it.
type statement struct {
	Sid       string
	Effect    string
	Principal map[string]string `json:",omitempty"`
	Action    []string
	Resource  any
	Condition map[string]map[string]any `json:",omitempty"`
}

func document2012(statements []statement) string {
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(fmt.Sprintf("sandbox: a policy has no JSON: %v", err))
	}
	return string(text)
}

// deployed is the blueprint of a stack for one secret and one cluster.
func deployed(w *World, credentialARN string) blueprint {
	ecsARN := "arn:aws:ecs:" + awsRegion + ":" + account + ":"
	ruleARN := "arn:aws:events:" + awsRegion + ":" + account + ":rule/" + healRule
	return blueprint{
		role: []statement{
			{
				Sid: "RunnerSecrets", Effect: "Allow", Resource: []string{w.SecretARN},
				Action: []string{"secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue",
					"secretsmanager:UpdateSecretVersionStage"},
			},
			{Sid: "ApiCredential", Effect: "Allow", Action: []string{"secretsmanager:GetSecretValue"}, Resource: credentialARN},
			{Sid: "Services", Effect: "Allow", Action: []string{"ecs:DescribeServices", "ecs:UpdateService"},
				Resource: ecsARN + "service/" + Cluster + "/*"},
			{Sid: "TaskDefinitions", Effect: "Allow", Action: []string{"ecs:DescribeTaskDefinition"}, Resource: "*"},
			{
				Sid: "FindServices", Effect: "Allow", Action: []string{"ecs:ListServices"}, Resource: "*",
				Condition: map[string]map[string]any{"ArnEquals": {"ecs:cluster": ecsARN + "cluster/" + Cluster}},
			},
			{
				Sid: "Logs", Effect: "Allow", Action: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
				Resource: "arn:aws:logs:" + awsRegion + ":" + account + ":log-group:/aws/lambda/" + functionName + ":*",
			},
		},
		function: lambdaapi.Function{
			Name: functionName, Architectures: []string{"arm64"}, Timeout: int(functionTimeout / time.Second), MemorySize: 256, LogFormat: "JSON",
			Environment: map[string]string{
				"MAIA_CREDENTIALS_SECRET_ARN": credentialARN,
				"MAIA_SECRET_ARNS":            w.SecretARN,
				"MAIA_ECS_CLUSTERS":           Cluster,
				"MAIA_AGENT_IDS":              sandbox.AgentID,
				"MAIA_API_URL":                maiatest.APIURL(w.Maia.URL),
				"MAIA_TOKEN_URL":              maiatest.TokenURL(w.Maia.URL),
			},
		},
		policy: []statement{
			{
				Sid: "SecretsManagerPermission", Effect: "Allow", Principal: map[string]string{"Service": "secretsmanager.amazonaws.com"},
				Action: []string{"lambda:InvokeFunction"}, Resource: functionARN,
				Condition: map[string]map[string]any{"StringEquals": {"AWS:SourceAccount": account}},
			},
			{
				Sid: "HealPermission", Effect: "Allow", Principal: map[string]string{"Service": "events.amazonaws.com"},
				Action: []string{"lambda:InvokeFunction"}, Resource: functionARN,
				Condition: map[string]map[string]any{"ArnLike": {"AWS:SourceArn": ruleARN}},
			},
		},
		rule: &eventbridge.Rule{
			Name: healRule, ScheduleExpression: "rate(30 minutes)",
			Targets: []eventbridge.Target{{ID: "heal", ARN: functionARN, Input: `{"action":"heal"}`}},
		},
		schedule: rotateSchedule,
	}
}

// Install starts a World and what is deployed around it, all in order. It must be closed.
func Install(ctx context.Context) (*Installation, error) {
	return install(ctx, func(*blueprint) {})
}

func install(ctx context.Context, change func(*blueprint)) (*Installation, error) {
	w, err := New(ctx, Options{rollDelay: time.Millisecond})
	if err != nil {
		return nil, err
	}
	i := &Installation{
		World:  w,
		Lambda: lambdaapi.New(lambdaapi.Options{Region: awsRegion, Account: account}),
		IAM:    iam.New(iam.Options{Region: awsRegion, Account: account}),
		Events: eventbridge.New(eventbridge.Options{Region: awsRegion, Account: account}),
	}
	if err := i.deploy(ctx, change); err != nil {
		i.Close()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return i, nil
}

func (i *Installation) deploy(ctx context.Context, change func(*blueprint)) error {
	i.endpoints = map[string]string{"Secrets Manager": i.SecretsURL, "ECS": i.ECSURL}
	for name, handler := range map[string]http.Handler{"Lambda": i.Lambda, "IAM": i.IAM, "EventBridge": i.Events} {
		url, err := i.Servers.Serve(ctx, handler)
		if err != nil {
			return err
		}
		i.endpoints[name] = url
	}
	credential, err := i.client.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: aws.String(apiSecretName)})
	if err != nil {
		return err
	}
	plan := deployed(i.World, *credential.ARN)
	change(&plan)
	plan.function.Role = i.IAM.AddRole(functionName, document2012(plan.role))
	if len(plan.policy) > 0 {
		plan.function.Policy = document2012(plan.policy)
	}
	i.Lambda.AddFunction(plan.function)
	if plan.rule != nil {
		i.Events.AddRule(*plan.rule)
	}
	i.Secrets.EnableRotation(i.SecretARN, functionARN)
	i.Secrets.SetSchedule(i.SecretARN, plan.schedule, rotateWindow)
	return nil
}

// Close ends all services.
func (i *Installation) Close() {
	i.Events.Close()
	i.World.Close()
}

// AWS is the configuration of an operator's SDK clients of this installation.
func (i *Installation) AWS() aws.Config {
	return aws.Config{
		Region:        awsRegion,
		Credentials:   credentials.NewStaticCredentialsProvider("operator", "sandbox", ""),
		ConfigSources: []any{endpoints(i.endpoints)},
	}
}

// Endpoints are the addresses of the emulated services, by the variable that the SDK reads them from.
func (i *Installation) Endpoints() map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": i.endpoints["Secrets Manager"],
		"AWS_ENDPOINT_URL_ECS":             i.endpoints["ECS"],
		"AWS_ENDPOINT_URL_LAMBDA":          i.endpoints["Lambda"],
		"AWS_ENDPOINT_URL_IAM":             i.endpoints["IAM"],
		"AWS_ENDPOINT_URL_EVENTBRIDGE":     i.endpoints["EventBridge"],
	}
}

// endpoints gives the SDK the addresses of services.
type endpoints map[string]string

// GetServiceBaseEndpoint implements the SDK's interface for the endpoints of single services.
func (e endpoints) GetServiceBaseEndpoint(_ context.Context, sdkID string) (string, bool, error) {
	url, ok := e[sdkID]
	return url, ok, nil
}

// calls are all that reached AWS so far.
func (i *Installation) calls() []awsjson.Call {
	var all []awsjson.Call
	for _, calls := range [][]awsjson.Call{i.Secrets.Calls(), i.ECS.Calls(), i.Lambda.Calls(), i.IAM.Calls(), i.Events.Calls()} {
		all = append(all, calls...)
	}
	return all
}
