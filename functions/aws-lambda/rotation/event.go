package rotation

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The steps of a rotation, as Secrets Manager sends them.
const (
	stepCreate = "createSecret"
	stepSet    = "setSecret"
	stepTest   = "testSecret"
	stepFinish = "finishSecret"
)

// Lengths of a ClientRequestToken, from the Secrets Manager API reference.
const (
	minToken = 32
	maxToken = 64
)

// parseEvent checks the rotation event. Errors name the field.
func parseEvent(payload []byte) (events.SecretsManagerSecretRotationEvent, error) {
	var event events.SecretsManagerSecretRotationEvent
	if len(bytes.TrimSpace(payload)) == 0 {
		return event, eventError("is empty")
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		if _, mistyped := err.(*json.UnmarshalTypeError); mistyped {
			return event, eventError("has a field of the wrong type, expected an object of strings")
		}
		return event, eventError("is not JSON")
	}
	switch event.Step {
	case stepCreate, stepSet, stepTest, stepFinish:
	case "":
		return event, eventError("has no Step")
	default:
		return event, eventError("has the unknown Step %q", abbreviate(event.Step))
	}
	if err := checkSecretARN("the event's SecretId", event.SecretID); err != nil {
		return event, err
	}
	if length := len(event.ClientRequestToken); length < minToken || length > maxToken {
		return event, eventError("has a ClientRequestToken of %d characters, expected %d to %d", length, minToken, maxToken)
	}
	return event, nil
}

func eventError(format string, args ...any) error {
	return rotate.Errorf(rotate.Configuration, "the event "+format, args...).
		WithTodo("the function takes the rotation events of Secrets Manager: Step (%s, %s, %s or %s), SecretId, ClientRequestToken", stepCreate, stepSet, stepTest, stepFinish)
}

// checkSecretARN wants arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME.
func checkSecretARN(what, arn string) error {
	if parts := strings.Split(arn, ":"); len(parts) != 7 || parts[0] != "arn" || parts[2] != "secretsmanager" || parts[5] != "secret" || parts[6] == "" {
		return configError("%s is %q, expected the ARN of a Secrets Manager secret", what, abbreviate(arn))
	}
	return nil
}

// abbreviate keeps foreign text in errors short.
func abbreviate(text string) string {
	const limit = 120
	if len(text) > limit {
		return strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
