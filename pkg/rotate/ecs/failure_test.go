package ecs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// One code has several causes; kind and hint follow from the cause.
func TestErrorsOfAWSByTheirCause(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:KMS-runner-AbCdEf"
	const key = "allow the function's role kms:Decrypt and kms:GenerateDataKey"
	const enable = "enable the KMS key of the secret, or cancel its deletion"
	for name, test := range map[string]struct {
		operation, code, message string
		kind                     rotate.Kind
		hint                     string
	}{
		"denied by IAM": {"GetSecretValue", "AccessDeniedException",
			"User: x is not authorized to perform: secretsmanager:GetSecretValue on resource: " + arn +
				" because no identity-based policy allows it",
			rotate.Permission, "secretsmanager:GetSecretValue on " + arn},
		"denied by the key": {"GetSecretValue", "AccessDeniedException", "Access to KMS is not allowed", rotate.Permission, key},
		"denied the key by IAM": {"PutSecretValue", "AccessDeniedException",
			"User: x is not authorized to perform: kms:GenerateDataKey on resource: y", rotate.Permission, key},
		"the key does not decrypt": {"GetSecretValue", "DecryptionFailure",
			"Secrets Manager can't decrypt the protected secret text using the provided KMS key.", rotate.Permission, key},
		"the key does not encrypt": {"PutSecretValue", "EncryptionFailure",
			"Secrets Manager can't encrypt the protected secret text using the provided KMS key.", rotate.Permission, key},
		"the key is disabled": {"PutSecretValue", "EncryptionFailure",
			"arn:aws:kms:eu-west-1:123456789012:key/k is disabled.", rotate.Configuration, enable},
		"the key is to be deleted": {"GetSecretValue", "DecryptionFailure",
			"arn:aws:kms:eu-west-1:123456789012:key/k is pending deletion.", rotate.Configuration, enable},
		"the key's state, by KMS":     {"GetSecretValue", "KMSInvalidStateException", "", rotate.Configuration, enable},
		"the key is disabled, by KMS": {"GetSecretValue", "DisabledException", "", rotate.Configuration, enable},
		"marked for deletion": {"GetSecretValue", "InvalidRequestException",
			"You can't perform this operation on the secret because it was marked for deletion.", rotate.Configuration,
			"restore-secret --secret-id " + arn},
		"marked for deletion, by label": {"UpdateSecretVersionStage", "InvalidRequestException",
			"The secret is scheduled for deletion.", rotate.Configuration, "restore-secret"},
		"another invalid request": {"GetSecretValue", "InvalidRequestException",
			"You provided a VersionStage that is not associated to the provided VersionId.", rotate.Internal, ""},
		"too many labels": {"UpdateSecretVersionStage", "LimitExceededException",
			"A secret can have at most 20 staging labels.", rotate.Configuration, "remove staging labels"},
		"too much":        {"DescribeSecret", "ThrottlingException", "Rate exceeded", rotate.NotReady, ""},
		"too many":        {"DescribeServices", "TooManyRequestsException", "", rotate.NotReady, ""},
		"old credentials": {"DescribeServices", "ExpiredTokenException", "", rotate.Permission, "AWS credentials"},
		"no cluster":      {"DescribeServices", "ClusterNotFoundException", "", rotate.Configuration, "cluster and service"},
		"a service that is deleted": {"UpdateService", "ServiceNotActiveException",
			"Service was not ACTIVE.", rotate.Configuration, "nothing if it is being deleted"},
		"denied a task definition": {"DescribeTaskDefinition", "AccessDeniedException",
			"", rotate.Permission, "ecs:DescribeTaskDefinition on *"},
		"a fault of AWS": {"DescribeServices", "ServerException", "", rotate.Internal, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := Failure(test.operation, arn, &smithy.GenericAPIError{Code: test.code, Message: test.message})
			var typed *rotate.Error
			if !errors.As(err, &typed) || typed.Kind != test.kind || !strings.Contains(typed.Hint, test.hint) ||
				(test.hint == "") != (typed.Hint == "") {
				t.Errorf("%v, want kind %q and the advice %q", err, test.kind, test.hint)
			}
			if !strings.Contains(err.Error(), test.operation+" "+arn+": "+test.code) || !hasCode(err, test.code) {
				t.Errorf("%v does not say what failed", err)
			}
		})
	}
}

// What AWS, its SDK or a proxy in between says may quote the request or the answer.
func TestPromise7ErrorsOfTheSDKAreRedacted(t *testing.T) {
	const hidden = "Zq8wN3tVb6Rk1YxLm5Hs0Dj2"
	document := `{"client_id":"c","client_secret":"` + hidden + `"}`
	secrets := []maia.Secret{maia.NewSecret(document), maia.NewSecret(hidden), {}}
	for name, err := range map[string]error{
		"a message": &smithy.GenericAPIError{Code: "ValidationException",
			Message: "Value '" + document + "' at 'secretString' failed"},
		"a secret in two": &smithy.GenericAPIError{Code: "ValidationException", Message: hidden[:9] + "\u200b\n" + hidden[9:]},
		"a malformed answer": &smithy.DeserializationError{Err: fmt.Errorf("invalid character after %q", document),
			Snapshot: []byte(document)},
		"one that was wrapped":   fmt.Errorf("operation error: %w", &smithy.DeserializationError{Err: errors.New("it was " + hidden + "-2")}),
		"an error of the client": fmt.Errorf("Post with %s: %w", document, context.DeadlineExceeded),
		"a long one":             &smithy.GenericAPIError{Code: "ValidationException", Message: strings.Repeat("x", 1<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			failed := Failure("PutSecretValue", "arn", err, secrets...)
			if text := failed.Error(); strings.Contains(text, hidden) || strings.ContainsAny(text, "\n\u200b") || len(text) > 2*maxFailure {
				t.Errorf("the error is %q", text)
			}
			if !errors.Is(failed, err) {
				t.Error("the cause is lost")
			}
		})
	}
}

func TestErrorsOfSeveralServicesAreOne(t *testing.T) {
	answered := func(code string) error {
		return Failure("UpdateService", "c/"+code, &smithy.GenericAPIError{Code: code})
	}
	denied, throttled, gone := answered("AccessDeniedException"), answered("ThrottlingException"), answered("ServiceNotActiveException")
	broken := Failure("UpdateService", "c/d", context.DeadlineExceeded)
	for name, test := range map[string]struct {
		failed []error
		kind   rotate.Kind
	}{
		"a right is worst":       {[]error{broken, throttled, gone, denied}, rotate.Permission},
		"then the configuration": {[]error{throttled, gone}, rotate.Configuration},
		"then what passes":       {[]error{throttled, errors.New("x")}, rotate.NotReady},
		"one is as it is":        {[]error{gone}, rotate.Configuration},
		"all are what they are":  {[]error{errors.New("x"), errors.New("y")}, rotate.Internal},
		"a time-out passes, too": {[]error{broken, errors.New("y")}, rotate.NotReady},
	} {
		t.Run(name, func(t *testing.T) {
			joined := join(test.failed)
			if rotate.KindOf(joined) != test.kind {
				t.Errorf("kind %q, want %q: %v", rotate.KindOf(joined), test.kind, joined)
			}
			for _, err := range test.failed {
				if what := rotate.AsError(err, "").What; !errors.Is(joined, err) || !strings.Contains(joined.Error(), what) {
					t.Errorf("%v does not say %s", joined, what)
				}
			}
		})
	}
	if join(nil) != nil {
		t.Error("no error is one")
	}
}

// Whoever may move labels may write anything into ours.
func TestLabelsWithoutFieldsAreNoPauses(t *testing.T) {
	pause := &rotate.OwnPause{By: "0123abcd"}
	for _, label := range []string{"maia-rotate/paused", "maia-rotate/pausing", "maia-rotate/paused/", "maia-rotate", "maia-rotate/", ""} {
		if noteOf([]string{label}, "").Paused != nil {
			t.Errorf("%q is read as a pause", label)
		}
		if other := isPauseOfAnother(label, pause); other != (label == "maia-rotate/paused/") {
			t.Errorf("%q is the pause of another: %t", label, other)
		}
	}
}
