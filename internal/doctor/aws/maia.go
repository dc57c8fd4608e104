package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// maiaTimeout bounds what is asked of Maia, retries included.
const maiaTimeout = 45 * time.Second

// The checks that ask Maia, in their order. Each needs those before it.
var maiaChecks = []string{"maia-credential", "maia-region", "maia-token", "maia-agent", "maia-role", "maia-runner", "maia-secret"}

// checkMaia asks Maia what the function would ask, with the function's API credential.
func (r *run) checkMaia(ctx context.Context) error {
	if r.function == nil {
		return nil
	}
	if r.environment == nil {
		r.report.Skip("the function's configuration is not known", maiaChecks...)
		return nil
	}
	credentials, err := r.readCredential(ctx)
	if err != nil || credentials == nil {
		r.skipMaia("the API credential is not known", "maia-credential")
		return err
	}
	region, ok := r.maiaRegion()
	if !ok {
		return nil
	}
	client, err := maia.New(maia.Config{
		Region: region, APIURL: r.environment.APIURL, TokenURL: r.environment.TokenURL,
		ClientID: credentials.ClientID, ClientSecret: credentials.ClientSecret, UserAgent: "maia-rotate (doctor)",
	})
	if err != nil {
		r.report.Problem("maia-token", "", "%v", err)
		r.skipMaia("there is no token", "maia-token")
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, maiaTimeout)
	defer cancel()
	if err := client.Authenticate(asking); err != nil {
		r.judgeMaia("maia-token", err)
		r.skipMaia("there is no token", "maia-token")
		return ctx.Err()
	}
	r.report.OK("maia-token", "Maia accepts the API credential")
	if r.runner == nil {
		r.skipMaia("the runner was not found", "maia-token")
		return nil
	}
	r.askMaia(asking, client, cmp.Or(region, r.environment.APIURL))
	return ctx.Err() // of the caller's: that Maia is slow is a finding
}

// skipMaia reports the checks after one of them as not made.
func (r *run) skipMaia(because, after string) {
	for i, check := range maiaChecks {
		if check == after {
			r.report.Skip(because, maiaChecks[i+1:]...)
		}
	}
}

// readCredential reads the API credential with the operator's rights; nil if that did not work.
func (r *run) readCredential(ctx context.Context) (*maia.Credentials, error) {
	const check = "maia-credential"
	arn := r.environment.CredentialsSecretARN
	if arn == "" {
		r.report.OK(check, "in the function's environment")
		return &r.environment.Credentials, nil
	}
	out, err := r.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
	switch {
	case missing(err):
		r.report.Problem(check, "correct MAIA_CREDENTIALS_SECRET_ARN, or store a value in it", "the secret %s does not exist, or has no value",
			arn)
		return nil, nil
	case err != nil:
		return nil, r.untested(check, "secretsmanager:GetSecretValue on "+arn, err)
	}
	document, err := ecs.ParseDocument(aws.ToString(out.SecretString))
	if err != nil {
		typed := words(err)
		r.report.Problem(check, typed.Hint, "%s: %s", arn, typed.What)
		return nil, nil
	}
	r.report.OK(check, "it is JSON with client_id and client_secret")
	// For its key. If the secret cannot be described, the check goes on without.
	if described, err := r.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &arn}); err == nil {
		r.credential = described
	} else if fatal(err) {
		return nil, failure("secretsmanager:DescribeSecret", err)
	}
	credentials := document.Credentials()
	return &credentials, nil
}

// maiaRegion is the region that the function would ask, "" if it is given another address.
func (r *run) maiaRegion() (region string, ok bool) {
	const check = "maia-region"
	configured, discovered := r.environment.Region, ""
	if r.runner != nil {
		discovered = r.runner.Region()
	}
	switch {
	case r.environment.APIURL != "":
		r.report.OK(check, "the function has the address of the API")
		return "", true
	case configured == "" && r.runner == nil:
		r.report.Skip("the runner was not found", maiaChecks[1:]...)
		return "", false
	case configured == "" && discovered == "":
		r.report.Problem(check, "set MAIA_REGION", "the runner's task definition has no MATILLION_REGION, and MAIA_REGION is not set")
	case configured != "" && discovered != "" && configured != discovered:
		r.report.Problem(check, "correct MAIA_REGION, or take it away", "MAIA_REGION is %s, but that in the runner's task definition is %s",
			configured, discovered)
	default:
		region = cmp.Or(configured, discovered)
		r.report.OK(check, "%s", region)
		return region, true
	}
	r.skipMaia("the region is not known", check)
	return "", false
}

// judgeMaia reports an error of Maia's.
func (r *run) judgeMaia(check string, err error) {
	hint := rotate.AsError(err, rotate.NotObserved).Hint
	var failed *maia.Error
	switch {
	case errors.Is(err, maia.ErrUnavailable), errors.Is(err, maia.ErrRateLimited), errors.As(err, &failed) && failed.Kind == "":
		r.report.Warn(check, "check from where Maia can be reached", "could not be tested from here: %v", err)
	case errors.Is(err, maia.ErrForbidden):
		r.report.Problem("maia-role", "give the Maia API credential the role Admin (or Super Admin)",
			"the role of the API credential is not sufficient: %v", err)
	case errors.Is(err, maia.ErrUnauthorized):
		r.report.Problem("maia-token", hint, "%v", err)
	default:
		r.report.Problem(check, hint, "%v", err)
	}
}

// askMaia reads the runner as Maia has it.
func (r *run) askMaia(ctx context.Context, client *maia.Client, region string) {
	id := r.runner.AgentID()
	agent, err := client.Agent(ctx, id)
	switch {
	case errors.Is(err, maia.ErrNotFound):
		r.report.Problem("maia-agent", "check AGENT_ID in the task definition, and that account and region are the runner's",
			"Maia does not know the agent %s in the account of the API credential (%s)", id, region)
		r.skipMaia("the agent is not known", "maia-agent")
		return
	case err != nil:
		r.judgeMaia("maia-agent", err)
		r.skipMaia("the agent could not be read", "maia-agent")
		return
	}
	r.report.OK("maia-agent", "Maia knows it as %q", agent.Name)
	held, err := client.Credentials(ctx, id)
	if err != nil {
		r.judgeMaia("maia-secret", err)
		r.report.Skip("the runner's credentials could not be read", "maia-secret")
	} else {
		r.report.OK("maia-role", "it lets the function read the runner's credentials (that it may refresh them, only a rotation shows)")
		r.held = &held
	}
	r.judgeAgent(agent)
	if r.held != nil {
		r.compare(ctx, client, held)
	}
}

func (r *run) judgeAgent(agent maia.Agent) {
	const check = "maia-runner"
	status := fmt.Sprintf("status %q", agent.Status)
	if !agent.PausedUntil.IsZero() {
		status += " until " + minute(agent.PausedUntil)
	}
	switch {
	case r.platform != nil && r.platform.Instances.State == rotate.Stopped:
		r.report.Skip("the service is scaled to zero", check)
	case !agent.Connected:
		r.report.Problem(check, "check the runner's logs and network; nothing is refreshed while it is down",
			"Maia says that the runner is not connected (%s)", status)
	case agent.Status == maia.StatusRunning, agent.Status == maia.StatusPaused, agent.Status == maia.StatusPausing:
		r.report.OK(check, "connected, %s", status)
	default:
		r.report.Warn(check, "check the runner in Maia's console: nothing is refreshed in this status",
			"connected, %s, expected running or paused", status)
	}
}

// compare compares what Maia holds with the secret, and asks the engine what a healing run would do about a difference.
func (r *run) compare(ctx context.Context, client *maia.Client, held maia.Credentials) {
	const check = "maia-secret"
	switch {
	case r.platform == nil:
		r.report.Skip("the secret could not be read", check)
		return
	case r.platform.Stored.Equal(held):
		r.report.OK(check, "AWSCURRENT is what Maia holds")
		return
	case r.platform.Stored.ClientID != held.ClientID:
		r.report.Problem(check, "check that the secret and the agent ID belong to the same runner",
			"the secret is for client %q, and Maia says that the runner's is %q", r.platform.Stored.ClientID, held.ClientID)
		return
	}
	rotator := rotate.Rotator{Maia: client, Policy: r.environment.Policy}
	report, err := rotator.Plan(ctx, r.runner, rotate.Heal)
	if err != nil {
		typed := words(err)
		r.report.Problem(check, typed.Hint, "AWSCURRENT is not what Maia holds: %s", typed.What)
		return
	}
	r.report.Warn(check, "nothing, or have it done now:\n"+r.heal(),
		"AWSCURRENT is not what Maia holds: whatever starts with it cannot log in. The next healing event will: %s", doctor.Steps(report))
}
