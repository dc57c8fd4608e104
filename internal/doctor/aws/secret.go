package aws

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// checkSecret checks the secret and what is in it.
func (r *run) checkSecret(ctx context.Context) error {
	described, err := r.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &r.arn})
	switch {
	case missing(err):
		r.report.Problem("secret", "check the ARN, its region and account", "there is no secret %s", r.arn)
		r.report.Skip("there is no secret", "everything else")
		return nil
	case err != nil:
		return failure("secretsmanager:DescribeSecret", err)
	}
	r.secret, r.arn = described, aws.ToString(described.ARN) // what was given may lack the end
	if !r.usable(described) {
		return nil
	}
	r.checkPending(described)
	r.checkReplicas(described)
	return r.readSecret(ctx)
}

// usable checks the state of the secret as a whole, and that it has a value.
func (r *run) usable(described *secretsmanager.DescribeSecretOutput) bool {
	switch primary := aws.ToString(described.PrimaryRegion); {
	case described.DeletedDate != nil:
		r.report.Problem("secret", "if it is still needed:\n"+r.cli("secretsmanager restore-secret --secret-id %s", r.arn),
			"it is scheduled for deletion since %s", day(*described.DeletedDate))
	case primary != "" && primary != part(r.arn, partRegion):
		r.report.Problem("secret", "check the secret there, and let the function rotate that one",
			"it is a replica of the secret in %s, and a replica cannot be rotated", primary)
	case holder(described.VersionIdsToStages, "AWSCURRENT") == "":
		r.report.Problem("secret", `store the runner's {"client_id":"…","client_secret":"…"} in it`, "it has no value yet")
	default:
		r.report.OK("secret", "%s has a value under AWSCURRENT", aws.ToString(described.Name))
		return true
	}
	r.report.Skip("the secret cannot be used", "secret-value", "pending")
	return false
}

// checkPending searches for an AWSPENDING next to AWSCURRENT: while it is there, Secrets Manager begins no new rotation.
func (r *run) checkPending(described *secretsmanager.DescribeSecretOutput) {
	pending := holder(described.VersionIdsToStages, "AWSPENDING")
	if pending == "" || pending == holder(described.VersionIdsToStages, "AWSCURRENT") {
		r.report.OK("pending", "no rotation is unfinished")
		return
	}
	r.report.Warn("pending", "nothing if a rotation is under way; if none is, clear it, by which nothing is lost:\n"+
		r.cli("secretsmanager update-secret-version-stage --secret-id %s --version-stage AWSPENDING --remove-from-version-id %s", r.arn, pending),
		"AWSPENDING is on version %s, another than AWSCURRENT's: a rotation is under way, or one was left unfinished", pending)
}

// checkReplicas checks the secret's replicas: what reads one gets a new value later, or, if it is stuck, never.
func (r *run) checkReplicas(described *secretsmanager.DescribeSecretOutput) {
	for _, replica := range described.ReplicationStatus {
		if replica.Status != types.StatusTypeInSync {
			r.report.Warn("replicas", "have it replicated anew if anything reads it there:\n"+
				r.cli("secretsmanager remove-regions-from-replication --secret-id %s --remove-replica-regions %s", r.arn, aws.ToString(replica.Region)),
				"the replica in %s is %s: what reads it there may have a revoked secret. "+
					"No runner may: its task definition must name the secret itself",
				aws.ToString(replica.Region), replica.Status)
		}
	}
}

// readSecret reads the value and checks its form.
func (r *run) readSecret(ctx context.Context) error {
	value, err := r.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &r.arn})
	if err != nil {
		return r.untested("secret-value", "secretsmanager:GetSecretValue", err)
	}
	r.current = &current{GetSecretValueOutput: value}
	if value.SecretString == nil {
		r.report.Problem("secret-value", `store {"client_id":"…","client_secret":"…"} in it, as text`, "it is binary, expected JSON")
		return nil
	}
	document, err := ecs.ParseDocument(*value.SecretString)
	if err != nil {
		typed := words(err)
		r.report.Problem("secret-value", typed.Hint, "%s", typed.What)
		return nil
	}
	r.current.document = &document
	r.report.OK("secret-value", "it is JSON with client_id and client_secret")
	return nil
}

// words is an error of the function's code, with its advice apart.
func words(err error) *rotate.Error { return rotate.AsError(err, rotate.NotObserved) }

// holder is the version that has the label; "" if none has.
func holder(stages map[string][]string, label string) string {
	for _, id := range slices.Sorted(maps.Keys(stages)) {
		if slices.Contains(stages[id], label) {
			return id
		}
	}
	return ""
}

// key is the ARN of the key of one's own that a secret is encrypted with; "" if it has the key that AWS manages. It is
// not known if the secret names its key by an alias.
func key(described *secretsmanager.DescribeSecretOutput) (arn string, known bool) {
	id := aws.ToString(described.KmsKeyId)
	switch {
	case id == "" || strings.HasSuffix(id, "alias/aws/secretsmanager"):
		return "", true
	case strings.Contains(id, "alias/"):
		return id, false
	case strings.HasPrefix(id, "arn:"):
		return id, true
	}
	parts := strings.Split(aws.ToString(described.ARN), ":")
	return strings.Join([]string{"arn", parts[1], "kms", parts[partRegion], parts[partAccount], "key/" + id}, ":"), true
}

func day(t time.Time) string    { return t.UTC().Format(time.DateOnly) }
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
