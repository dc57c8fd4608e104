package ecs

import (
	"strings"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// valueFrom is a task definition's reference to a secret: ARN[:json-key[:version-stage[:version-id]]].
type valueFrom struct {
	arn, key, stage, version string
}

// parseValueFrom splits on colons: an ARN has seven parts.
func parseValueFrom(text string) (valueFrom, bool) {
	parts := strings.Split(text, ":")
	if len(parts) < 7 || parts[0] != "arn" || parts[2] != "secretsmanager" {
		return valueFrom{}, false
	}
	from := valueFrom{arn: strings.Join(parts[:7], ":")}
	for i, field := range []*string{&from.key, &from.stage, &from.version} {
		if 7+i < len(parts) {
			*field = parts[7+i]
		}
	}
	return from, true
}

// names says whether the reference is to the secret: by its ARN, or by its ARN without the six random characters.
func (v valueFrom) names(secretARN string) bool {
	return v.arn == secretARN || len(secretARN) > 7 && v.arn == secretARN[:len(secretARN)-7]
}

// follows checks that a task that starts after a rotation reads the new value.
func (v valueFrom) follows(variable string) error {
	switch {
	case v.version != "":
		return rotate.Errorf(rotate.Configuration, "variable %s is pinned to version %s of the secret and would never see a new value", variable, v.version).
			WithTodo("take the version ID out of its valueFrom in the task definition")
	case v.stage != "" && v.stage != awsCurrent:
		return rotate.Errorf(rotate.Configuration, "variable %s reads the staging label %s, expected %s", variable, v.stage, awsCurrent).
			WithTodo("take the staging label out of its valueFrom in the task definition")
	}
	return nil
}
