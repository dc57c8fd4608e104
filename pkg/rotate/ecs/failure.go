package ecs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/aws/smithy-go"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// maxFailure is how much of an error's text is repeated, in characters.
const maxFailure = 400

// callError is an error of a call that AWS has not answered, or not with an error of its own.
type callError struct {
	text string
	err  error
}

func (e *callError) Error() string { return e.text }
func (e *callError) Unwrap() error { return e.err }

// Failure gives an error of an AWS call its kind, and names the operation and the resource. It quotes what AWS or its SDK says on
// one line, shortened, and without the secrets that the call may have held.
func Failure(operation, resource string, err error, secrets ...maia.Secret) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return &callError{fmt.Sprintf("%s %s: %s", operation, resource, ErrorText(err, secrets...)), err}
	}
	cause := causeOf(operation, resource, api)
	typed := rotate.Errorf(cause.kind, "%s %s: %s", operation, resource, ErrorText(err, secrets...))
	typed.Hint, typed.Err = cause.hint, err
	return typed
}

// ErrorText is what AWS said of an error, "CODE: message", or the SDK if AWS did not answer: on one line, shortened, and without
// these secrets. An answer that cannot be understood is not quoted, for it may be the value of a secret.
func ErrorText(err error, secrets ...maia.Secret) string {
	var api smithy.APIError
	var malformed *smithy.DeserializationError
	switch {
	case errors.As(err, &api):
		return printable(api.ErrorCode(), maxFailure) + ": " + redact(api.ErrorMessage(), secrets)
	case errors.As(err, &malformed):
		return "the answer is malformed: does AWS itself answer, not a proxy?"
	}
	return redact(err.Error(), secrets)
}

// cause is why AWS has answered an error, and what to do about it.
type cause struct {
	kind rotate.Kind
	hint string
}

func causeOf(operation, resource string, api smithy.APIError) cause {
	code, message := api.ErrorCode(), api.ErrorMessage()
	switch {
	case isKey(code, message):
		return keyCause(code, message)
	case slices.Contains([]string{"UnrecognizedClientException", "InvalidClientTokenId", "ExpiredTokenException"}, code):
		return cause{rotate.Permission, "check the function's AWS credentials"}
	case strings.Contains(code, "AccessDenied") && operation == "DescribeTaskDefinition":
		return cause{rotate.Permission, "allow the function's role ecs:DescribeTaskDefinition on * (IAM knows no narrower resource for it)"}
	case strings.Contains(code, "AccessDenied"):
		return cause{rotate.Permission, fmt.Sprintf("allow the function's role %s on %s", action(operation), resource)}
	case isDeletion(code, message):
		return cause{rotate.Configuration, restoreSecret(resource)}
	case code == "ClusterNotFoundException", code == "ServiceNotFoundException":
		return cause{rotate.Configuration, "check the cluster and service that the function is configured with"}
	case code == "ServiceNotActiveException":
		return cause{rotate.Configuration, "nothing if it is being deleted; name the service that the runner runs as now"}
	case code == "ResourceNotFoundException":
		return cause{rotate.Configuration, "check that it exists, in the function's own region and account"}
	case code == "LimitExceededException" && strings.Contains(message, "staging label"):
		return cause{rotate.Configuration, "remove staging labels that nobody uses"}
	case strings.Contains(code, "Throttl"), code == "TooManyRequestsException", code == "LimitExceededException":
		return cause{rotate.NotReady, ""}
	}
	return cause{rotate.Internal, ""}
}

// isKey reports whether an error is about the KMS key of a secret: Secrets Manager uses it on the role's behalf, and says so with
// codes of its own, with KMS's, or in the text of an AccessDeniedException.
func isKey(code, message string) bool {
	if strings.Contains(code, "AccessDenied") {
		// The name of a secret may hold the letters, too.
		ofService := strings.Contains(message, "perform: secretsmanager:") || strings.Contains(message, "perform: ecs:")
		return !ofService && (strings.Contains(message, "KMS") || strings.Contains(message, "kms:"))
	}
	return strings.HasPrefix(code, "KMS") || slices.Contains([]string{"EncryptionFailure", "DecryptionFailure", "DisabledException"}, code)
}

func keyCause(code, message string) cause {
	text := strings.ToLower(code + " " + message)
	unusable := slices.ContainsFunc([]string{"disabled", "pending", "invalidstate", "invalid state", "unavailable", "notfound"},
		func(state string) bool { return strings.Contains(text, state) })
	if unusable && !strings.Contains(code, "AccessDenied") {
		return cause{rotate.Configuration, "enable the KMS key of the secret, or cancel its deletion (aws kms enable-key, cancel-key-deletion)"}
	}
	return cause{rotate.Permission, "allow the function's role kms:Decrypt and kms:GenerateDataKey with the KMS key of the secret, " +
		"by IAM and by the key's policy, and check that the key is enabled"}
}

// isDeletion reports whether an error is that of a secret which is marked for deletion.
func isDeletion(code, message string) bool {
	return code == "InvalidRequestException" && strings.Contains(message, "deletion")
}

func restoreSecret(arn string) string {
	return "if it is still needed: aws secretsmanager restore-secret --secret-id " + arn
}

// action is the IAM action of an operation.
func action(operation string) string {
	switch operation {
	case "ListServices", "DescribeServices", "DescribeTaskDefinition", "UpdateService":
		return "ecs:" + operation
	}
	return "secretsmanager:" + operation
}

// hasCode reports whether an AWS call failed with this code.
func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// join makes one error of those of several services. Its kind is that of one which a person must put right, if there is one.
func join(failed []error) error {
	if len(failed) < 2 {
		return errors.Join(failed...)
	}
	kinds := []rotate.Kind{rotate.Permission, rotate.Configuration, rotate.NotReady}
	kind := len(kinds)
	var texts, hints []string
	for _, err := range failed {
		typed := rotate.AsError(err, "")
		texts = append(texts, typed.What)
		if i := slices.Index(kinds, typed.Kind); i >= 0 {
			kind = min(kind, i)
		}
		if !slices.Contains(hints, typed.Hint) {
			hints = append(hints, typed.Hint)
		}
	}
	joined := rotate.Errorf(append(kinds, rotate.Internal)[kind], "%s", strings.Join(texts, "; ")).WithHint("%s", strings.Join(hints, "; "))
	joined.Err = errors.Join(failed...)
	return joined
}

// redact makes a text of AWS or its SDK fit for one line of a log.
func redact(text string, secrets []maia.Secret) string {
	return printable(maia.Redact(printable(text, 0), secrets...), maxFailure)
}

// printable drops control and invisible characters, and all characters after so many; 0 is no limit.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if runes := []rune(text); limit > 0 && len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}
