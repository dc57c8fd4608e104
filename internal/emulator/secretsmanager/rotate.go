package secretsmanager

import (
	"regexp"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

var validFunction = regexp.MustCompile(`^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]+(:[A-Za-z0-9_$-]+)?$`)

type rotateInput struct {
	SecretId           string
	ClientRequestToken string
	RotationLambdaARN  string
	RotationRules      *rotationRules
	RotateImmediately  *bool
}

func (s *Server) rotateSecret(in *rotateInput) (*versionOutput, error) {
	if err := checkToken(in.ClientRequestToken); err != nil {
		return nil, err
	}
	if err := in.RotationRules.check(); err != nil {
		return nil, err
	}
	if in.RotationLambdaARN != "" && !validFunction.MatchString(in.RotationLambdaARN) {
		return nil, awsjson.Errorf("InvalidParameterException", "The rotation function's ARN is invalid.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	out := &versionOutput{ARN: sec.arn, Name: sec.name, VersionId: in.ClientRequestToken}
	// The same request once more, because its answer was lost.
	if r := sec.rotation; r != nil && r.token == in.ClientRequestToken && (r.running() || r.end.Name == RotationSucceeded) {
		return out, nil
	}
	if err := sec.canRotate(in.RotationLambdaARN); err != nil {
		return nil, err
	}
	if sec.unfinished() {
		s.reattempt(sec)
		return nil, awsjson.Errorf("InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.")
	}
	if v := sec.version(in.ClientRequestToken); v != nil {
		return nil, awsjson.Errorf("InvalidRequestException",
			"You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", v.id, sec.arn)
	}
	if in.RotationLambdaARN != "" {
		sec.functionARN = in.RotationLambdaARN
	}
	if in.RotationRules != nil {
		sec.rules = in.RotationRules
	}
	if in.RotationRules != nil || !sec.enabled {
		sec.scheduled = time.Now()
	}
	if in.RotateImmediately != nil && !*in.RotateImmediately {
		s.startTest(sec, in.ClientRequestToken)
		return out, nil
	}
	sec.configured, sec.enabled = true, true
	s.startRotation(sec, in.ClientRequestToken)
	return out, nil
}

// canRotate says why the secret cannot be rotated with the function, or with the one it has if functionARN is empty.
func (s *secret) canRotate(functionARN string) error {
	if s.holder(current) == nil {
		return awsjson.Errorf("InvalidRequestException", "You can't rotate a secret that has no value.")
	}
	if functionARN == "" && s.functionARN == "" {
		return awsjson.Errorf("InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.")
	}
	return nil
}

// unfinished reports whether a rotation runs, or failed and left its AWSPENDING.
func (s *secret) unfinished() bool {
	if s.rotation != nil && s.rotation.running() {
		return true
	}
	p := s.holder(pending)
	return p != nil && !p.has(current)
}

func (s *Server) cancelRotateSecret(in *secretInput) (*versionOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	if !sec.configured {
		return nil, awsjson.Errorf("InvalidRequestException", "You tried to cancel the rotation of a secret that has none configured.")
	}
	out := &versionOutput{ARN: sec.arn, Name: sec.name}
	if r := sec.rotation; r != nil && r.running() {
		// As documented, the labels stay as the rotation left them.
		r.abandon()
		out.VersionId = r.token
	}
	sec.enabled, sec.changed = false, time.Now()
	return out, nil
}
