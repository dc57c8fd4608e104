package aws

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/internal/emulator/lambdaapi"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// otherAgent is an agent that is not the runner's.
const otherAgent = "00000000-1111-4222-8333-444444444444"

// Setup is an installation with at most one thing wrong, and what a check of it must say.
type Setup struct {
	Name  string
	What  string       // in one sentence
	Wants []Want       // apart from ok; none if all is in order
	Plan  doctor.Level // what a plan must find: ok, or problem if something is in the way
	build func(*blueprint)
	after func(context.Context, *Installation) error // when it is deployed
}

// Want is a finding that must be there.
type Want struct {
	Level doctor.Level `json:"level"`
	Check string       `json:"check"`
}

func problem(check string) []Want { return []Want{{doctor.Problem, check}} }
func warning(check string) []Want { return []Want{{doctor.Warning, check}} }

// Setups lists all of them, the one in order first.
func Setups() []Setup { return slices.Clone(setups) }

var setups = []Setup{
	{Name: "healthy", What: "All is in order.", Plan: doctor.OK},
	{
		Name: "role-update-service", What: "The role may not restart the service.",
		Wants: problem("role"), Plan: doctor.OK, build: without("ecs:UpdateService"),
	},
	{
		Name: "role-put-secret-value", What: "The role may not store a new secret.",
		Wants: problem("role"), Plan: doctor.OK, build: without("secretsmanager:PutSecretValue"),
	},
	{
		Name: "function-policy-missing", What: "Nobody allowed Secrets Manager to invoke the function.",
		Wants: problem("function-policy"), Plan: doctor.OK, build: func(b *blueprint) { b.policy = nil },
	},
	{
		Name: "function-policy-account", What: "Secrets Manager may invoke the function for another account only.",
		Wants: problem("function-policy"), Plan: doctor.OK,
		build: func(b *blueprint) {
			b.policy[0].Condition = map[string]map[string]any{"StringEquals": {"AWS:SourceAccount": "999999999999"}}
		},
	},
	{
		Name: "function-policy-open", What: "Secrets Manager may invoke the function for any account.",
		Wants: warning("function-policy"), Plan: doctor.OK, build: func(b *blueprint) { b.policy[0].Condition = nil },
	},
	{
		Name: "secret-policy-deny", What: "The secret's own policy denies the role to write.",
		Wants: problem("secret-policy"), Plan: doctor.OK,
		after: func(_ context.Context, i *Installation) error {
			i.Secrets.SetResourcePolicy(i.SecretARN, document2012([]statement{{
				Sid: "NobodyWrites", Effect: "Deny", Principal: map[string]string{"AWS": "*"},
				Action: []string{"secretsmanager:PutSecretValue"}, Resource: "*",
			}}))
			return nil
		},
	},
	{
		Name: "rotation-not-enabled", What: "Rotation is switched off.",
		Wants: problem("rotation"), Plan: doctor.Problem,
		after: func(ctx context.Context, i *Installation) error {
			_, err := i.client.CancelRotateSecret(ctx, &awssecrets.CancelRotateSecretInput{SecretId: &i.SecretARN})
			return err
		},
	},
	{
		Name: "schedule-too-often", What: "The secret rotates every four hours.",
		Wants: warning("schedule"), Plan: doctor.OK, build: func(b *blueprint) { b.schedule = "rate(4 hours)" },
	},
	{
		Name: "function-timeout", What: "The function has 60 seconds.",
		Wants: problem("function-timeout"), Plan: doctor.OK, build: func(b *blueprint) { b.function.Timeout = 60 },
	},
	{
		Name: "function-concurrency", What: "The function has a reserved concurrency of 1.",
		Wants: warning("function-concurrency"), Plan: doctor.OK,
		build: func(b *blueprint) { b.function.ReservedConcurrency = new(1) },
	},
	{
		Name: "function-variable-misspelt", What: "A variable of the function is misspelt.",
		Wants: problem("function-environment"), Plan: doctor.Problem,
		build: func(b *blueprint) {
			b.function.Environment["MAIA_ECS_CLUSTER"] = Cluster
			delete(b.function.Environment, "MAIA_ECS_CLUSTERS")
		},
	},
	{
		Name: "function-plain-secret", What: "The API credential stands in the function's environment.",
		Wants: warning("function-plain-secret"), Plan: doctor.OK,
		after: func(_ context.Context, i *Installation) error {
			id, secret := i.Maia.APICredential()
			i.Lambda.UpdateFunction(functionName, func(f *lambdaapi.Function) {
				delete(f.Environment, "MAIA_CREDENTIALS_SECRET_ARN")
				f.Environment["MAIA_CLIENT_ID"], f.Environment["MAIA_CLIENT_SECRET"] = id, secret
			})
			return nil
		},
	},
	{
		Name: "service-scaled-to-zero", What: "The runner's service is scaled to zero.",
		Wants: problem("services"), Plan: doctor.Problem,
		after: func(_ context.Context, i *Installation) error {
			i.ECS.ScaleTo(Cluster, Service, 0)
			return nil
		},
	},
	{
		Name: "agent-not-allowed", What: "The function may serve another agent only.",
		Wants: problem("services"), Plan: doctor.Problem,
		build: func(b *blueprint) { b.function.Environment["MAIA_AGENT_IDS"] = otherAgent },
	},
	{
		Name: "value-from-pinned", What: "The task definition names a version of the secret.",
		Wants: problem("services"), Plan: doctor.Problem, after: pinned,
	},
	{
		Name: "secret-without-client-secret", What: "The secret has no client_secret.",
		Wants: problem("secret-value"), Plan: doctor.Problem,
		after: func(_ context.Context, i *Installation) error {
			i.Secrets.Put(i.SecretARN, fmt.Sprintf(`{"client_id":%q}`, sandbox.ClientID))
			return nil
		},
	},
	{
		Name: "api-credential-wrong", What: "The API credential has a wrong secret.",
		Wants: problem("maia-token"), Plan: doctor.Problem, after: wrongCredential,
	},
	{
		Name: "api-credential-role", What: "The API credential's role is too low.",
		Wants: problem("maia-role"), Plan: doctor.Problem,
		after: func(_ context.Context, i *Installation) error {
			i.refuse(maiatest.GetCredentials, http.StatusForbidden)
			return nil
		},
	},
	{
		Name: "agent-unknown", What: "Maia does not know the agent in the account of the API credential.",
		Wants: problem("maia-agent"), Plan: doctor.Problem,
		after: func(_ context.Context, i *Installation) error {
			i.refuse(maiatest.GetAgent, http.StatusNotFound)
			i.refuse(maiatest.GetCredentials, http.StatusNotFound)
			return nil
		},
	},
	{
		Name: "pending-stuck", What: "A rotation was left unfinished: AWSPENDING is on a version of its own.",
		Wants: warning("pending"), Plan: doctor.OK,
		after: func(ctx context.Context, i *Installation) error {
			_, err := i.client.PutSecretValue(ctx, &awssecrets.PutSecretValueInput{
				SecretId: &i.SecretARN, SecretString: aws.String(document("a-value-of-an-unfinished-rotation")), VersionStages: []string{"AWSPENDING"},
			})
			return err
		},
	},
	{
		Name: "healing-missing", What: "There is no healing rule.",
		Wants: warning("healing"), Plan: doctor.OK, build: func(b *blueprint) { b.rule = nil },
	},
	{
		Name: "healing-disabled", What: "The healing rule is disabled.",
		Wants: problem("healing"), Plan: doctor.OK, build: func(b *blueprint) { b.rule.State = "DISABLED" },
	},
	{
		Name: "healing-seldom", What: "The healing rule runs once a day.",
		Wants: warning("healing"), Plan: doctor.OK, build: func(b *blueprint) { b.rule.ScheduleExpression = "rate(1 day)" },
	},
	{
		Name: "put-by-terraform", What: "After a rotation Terraform has put the revoked secret back.",
		Wants: append(warning("terraform"), Want{doctor.Warning, "maia-secret"}), Plan: doctor.OK, after: putByTerraform,
	},
}

// without takes an action out of the role's policy.
func without(action string) func(*blueprint) {
	return func(b *blueprint) {
		for i := range b.role {
			b.role[i].Action = slices.DeleteFunc(b.role[i].Action, func(a string) bool { return a == action })
		}
		b.role = slices.DeleteFunc(b.role, func(s statement) bool { return len(s.Action) == 0 })
	}
}

// pinned gives the service a task definition that would never read a new value.
func pinned(ctx context.Context, i *Installation) error {
	described, err := i.client.DescribeSecret(ctx, &awssecrets.DescribeSecretInput{SecretId: &i.SecretARN})
	if err != nil {
		return err
	}
	runner := container(i.SecretARN)
	for version := range described.VersionIdsToStages {
		runner.Secrets["OAUTH_CLIENT_SECRET"] += version
	}
	definition := i.ECS.RegisterTaskDefinition(Service, runner)
	_, err = awsecs.NewFromConfig(i.AWS()).UpdateService(ctx, &awsecs.UpdateServiceInput{
		Cluster: aws.String(Cluster), Service: aws.String(Service), TaskDefinition: &definition,
	})
	return err
}

// refuse has Maia refuse a call, as it does for another account or another role.
func (i *Installation) refuse(call maiatest.Name, status int) {
	i.Maia.Inject(maiatest.Fault{
		Call: call, Kind: maiatest.CustomBody, Status: status, ContentType: "application/problem+json",
		Body: fmt.Appendf(nil, `{"title":%q,"status":%d}`, http.StatusText(status), status),
	})
}

func wrongCredential(_ context.Context, i *Installation) error {
	id, _ := i.Maia.APICredential()
	wrong := "a-secret-that-maia-does-not-know"
	i.Guarded.Learn(wrong, "the wrong secret of the Maia API credential")
	text, err := json.Marshal(map[string]string{"client_id": id, "client_secret": wrong})
	i.Secrets.Put(apiSecretName, string(text))
	return err
}

// putByTerraform rotates, with the engine and without the function, and puts the value back that it has revoked.
func putByTerraform(ctx context.Context, i *Installation) error {
	config := i.AWS()
	runner, err := ecs.Discover(ctx, awssecrets.NewFromConfig(config), awsecs.NewFromConfig(config), ecs.Config{
		SecretARN: i.SecretARN, Clusters: []string{Cluster},
	})
	if err != nil {
		return err
	}
	policy := rotate.DefaultPolicy()
	policy.Drain, policy.ConnectTimeout = rotate.DrainNone, time.Minute // nothing is at stake: the pipeline may fail
	rotator := rotate.Rotator{Maia: i.Maia.Client, Policy: policy}
	if _, err := rotator.Run(ctx, runner, rotate.Rotate); err != nil {
		return err
	}
	i.Secrets.Put(i.SecretARN, i.Document)
	return nil
}
