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

// names reports whether the reference is to the secret: by its ARN, or by its ARN without the six random characters.
func (v valueFrom) names(secretARN string) bool {
	return v.arn == secretARN || len(secretARN) > 7 && v.arn == secretARN[:len(secretARN)-7]
}

// replicaOf is the region of the reference if it is to a replica of the secret: the same account and name in another region. It is
// empty if it is not.
func (v valueFrom) replicaOf(secretARN string) string {
	own, secret := strings.Split(v.arn, ":"), strings.Split(secretARN, ":")
	if len(own) < 7 || len(secret) < 7 || own[3] == secret[3] || own[4] != secret[4] {
		return ""
	}
	there := v
	region := own[3]
	own[3] = secret[3]
	if there.arn = strings.Join(own, ":"); !there.names(secretARN) {
		return ""
	}
	return region
}

// follows checks that a task that starts after a rotation reads the new value.
func (v valueFrom) follows(variable string) error {
	switch {
	case v.version != "":
		return rotate.Errorf(rotate.Configuration, "variable %s is pinned to version %s of the secret and would never see a new value",
			variable, v.version).
			WithHint("take the version ID out of its valueFrom in the task definition")
	case v.stage != "" && v.stage != awsCurrent:
		return rotate.Errorf(rotate.Configuration, "variable %s reads the staging label %s, expected %s", variable, v.stage, awsCurrent).
			WithHint("take the staging label out of its valueFrom in the task definition")
	}
	return nil
}
