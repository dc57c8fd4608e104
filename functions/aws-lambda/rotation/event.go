package rotation

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/internal/settings"
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

// The actions of the function's own events.
const (
	actionHeal = "heal"
	actionPlan = "plan"
)

// event is what the function can be invoked with: a step of a rotation, as Secrets Manager sends it, or an action, as a
// schedule or a person does.
type event struct {
	events.SecretsManagerSecretRotationEvent
	Action string `json:"action"` // heal or plan; empty in a rotation
	Secret string `json:"secret"` // ARN of the one secret that the action is about; empty: all that the function serves
}

// parseEvent checks the event. Errors name the field.
func parseEvent(payload []byte) (event, error) {
	var parsed event
	if len(bytes.TrimSpace(payload)) == 0 {
		return parsed, eventError("is empty")
	}
	if err := json.Unmarshal(payload, &parsed); err != nil {
		if _, mistyped := err.(*json.UnmarshalTypeError); mistyped {
			return parsed, eventError("has a field of the wrong type, expected an object of strings")
		}
		return parsed, eventError("is not JSON")
	}
	switch {
	case parsed.Action == "":
		return parsed, parsed.checkStep()
	case parsed.Step != "":
		return parsed, eventError("has a Step and an action, expected one of the two")
	case parsed.Action != actionHeal && parsed.Action != actionPlan:
		return parsed, eventError("has the unknown action %q, expected %s or %s", function.Abbreviate(parsed.Action), actionHeal, actionPlan)
	case parsed.Secret != "":
		return parsed, checkSecretARN("the event's secret", parsed.Secret)
	}
	return parsed, nil
}

func (e event) checkStep() error {
	switch e.Step {
	case stepCreate, stepSet, stepTest, stepFinish:
	case "":
		return eventError("has no Step and no action")
	default:
		return eventError("has the unknown Step %q", function.Abbreviate(e.Step))
	}
	if err := checkSecretARN("the event's SecretId", e.SecretID); err != nil {
		return err
	}
	if length := len(e.ClientRequestToken); length < minToken || length > maxToken {
		return eventError("has a ClientRequestToken of %d characters, expected %d to %d", length, minToken, maxToken)
	}
	return nil
}

func eventError(format string, args ...any) error {
	return rotate.Errorf(rotate.Configuration, "the event "+format, args...).
		WithHint(`the function takes the rotation events of Secrets Manager: Step (%s, %s, %s or %s), SecretId, ClientRequestToken; and `+
			`{"action":"%s"} or {"action":"%s"}, with or without "secret"`,
			stepCreate, stepSet, stepTest, stepFinish, actionHeal, actionPlan)
}

// checkSecretARN wants arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME.
func checkSecretARN(what, arn string) error {
	if parts := strings.Split(arn, ":"); len(parts) != 7 || parts[0] != "arn" || parts[2] != "secretsmanager" || parts[5] != "secret" ||
		parts[6] == "" {
		return settings.Errorf("%s is %q, expected the ARN of a Secrets Manager secret", what, function.Abbreviate(arn))
	}
	return nil
}
