package secretsmanager

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

var validName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]{1,512}$`)

// checkToken checks a ClientRequestToken or VersionId. The SDKs make one up if their caller has none; the wire requires it.
func checkToken(token string) error {
	switch {
	case token == "":
		return awsjson.Errorf("InvalidRequestException", "You must provide a ClientRequestToken value. We recommend a UUID-type value.")
	case len(token) < 32 || len(token) > 64:
		return awsjson.Errorf("InvalidParameterException", "ClientRequestToken must be 32-64 characters long.")
	}
	return nil
}

func checkLabel(label string) error {
	if len(label) < 1 || len(label) > 256 {
		return awsjson.Invalid("at 'versionStage'", "have length between 1 and 256")
	}
	return nil
}

type versionOutput struct {
	ARN           string
	Name          string
	VersionId     string   `json:",omitempty"`
	VersionStages []string `json:",omitempty"`
}

type createInput struct {
	Name               string
	ClientRequestToken string
	Description        string
	KmsKeyId           string
	SecretString       *string
	SecretBinary       []byte
}

func (s *Server) createSecret(in *createInput) (*versionOutput, error) {
	if !validName.MatchString(in.Name) {
		return nil, awsjson.Errorf("ValidationException",
			"Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	val := value{in.SecretString, in.SecretBinary}
	if err := checkToken(in.ClientRequestToken); err != nil {
		return nil, err
	}
	if !val.empty() {
		if err := val.check(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if existing, ok := s.secrets[in.Name]; ok {
		if v := existing.version(in.ClientRequestToken); v == nil || !v.value.equal(val) {
			return nil, awsjson.Errorf("ResourceExistsException", "The operation failed because the secret %s already exists.", in.Name)
		}
		return &versionOutput{ARN: existing.arn, Name: existing.name, VersionId: in.ClientRequestToken}, nil
	}
	sec := s.create(in.Name)
	sec.description, sec.kmsKeyID = in.Description, in.KmsKeyId
	out := &versionOutput{ARN: sec.arn, Name: sec.name}
	if !val.empty() {
		if _, err := s.put(sec, in.ClientRequestToken, val, nil); err != nil {
			return nil, err
		}
		out.VersionId = in.ClientRequestToken
	}
	return out, nil
}

// create adds a secret without versions. The caller holds the lock.
func (s *Server) create(name string) *secret {
	now := time.Now()
	sec := &secret{arn: s.arn(name, newSuffix()), name: name, created: now, changed: now}
	s.secrets[name] = sec
	return sec
}

type putInput struct {
	SecretId           string
	ClientRequestToken string
	RotationToken      *string
	SecretString       *string
	SecretBinary       []byte
	VersionStages      *[]string
}

func (s *Server) putSecretValue(in *putInput) (*versionOutput, error) {
	val := value{in.SecretString, in.SecretBinary}
	if err := checkToken(in.ClientRequestToken); err != nil {
		return nil, err
	}
	if err := val.check(); err != nil {
		return nil, err
	}
	var stages []string
	if in.VersionStages != nil {
		stages = slices.Clone(*in.VersionStages)
		if len(stages) < 1 || len(stages) > maxLabels {
			return nil, awsjson.Invalid("at 'versionStages'", fmt.Sprint("have length between 1 and ", maxLabels))
		}
		for _, label := range stages {
			if err := checkLabel(label); err != nil {
				return nil, err
			}
		}
	}
	if t := in.RotationToken; t != nil && (len(*t) < 36 || len(*t) > 256) {
		return nil, awsjson.Invalid("at 'rotationToken'", "have length between 36 and 256")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.findUsable(in.SecretId)
	if err != nil {
		return nil, err
	}
	s.changing(sec)
	if err := sec.checkRotationToken(in.ClientRequestToken, in.RotationToken); err != nil {
		return nil, err
	}
	v, err := s.put(sec, in.ClientRequestToken, val, stages)
	if err != nil {
		return nil, err
	}
	return &versionOutput{ARN: sec.arn, Name: sec.name, VersionId: v.id, VersionStages: slices.Clone(v.stages)}, nil
}

// put stores a value under the token and attaches the labels, AWSCURRENT if there are none. The caller holds the lock.
func (s *Server) put(sec *secret, token string, val value, stages []string) (*version, error) {
	v := sec.version(token)
	if v != nil && !v.value.empty() {
		// A repeated request is ignored as a whole: its labels too.
		if v.value.equal(val) {
			return v, nil
		}
		return nil, awsjson.Errorf("ResourceExistsException",
			"You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", token, sec.arn)
	}
	if len(stages) == 0 {
		stages = []string{current}
	}
	// The first version of a secret is its current one, whatever was asked for.
	if sec.holder(current) == nil && !slices.Contains(stages, current) {
		stages = append(stages, current)
	}
	if err := sec.checkLimit(stages...); err != nil {
		return nil, err
	}
	now := time.Now()
	if v == nil {
		v = &version{id: token, created: now, stages: []string{}}
		sec.add(v)
	}
	v.value, v.visible = val, now.Add(s.options.ReadLag)
	for _, label := range stages {
		sec.label(v, label)
	}
	sec.changed = now
	if slices.Contains(stages, current) {
		sec.abandonFor(token)
	}
	return v, nil
}

type updateInput struct {
	SecretId           string
	ClientRequestToken string
	Description        *string
	KmsKeyId           *string
	SecretString       *string
	SecretBinary       []byte
}

func (s *Server) updateSecret(in *updateInput) (*versionOutput, error) {
	val := value{in.SecretString, in.SecretBinary}
	if !val.empty() {
		if err := checkToken(in.ClientRequestToken); err != nil {
			return nil, err
		}
		if err := val.check(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	out := &versionOutput{ARN: sec.arn, Name: sec.name}
	if !val.empty() {
		v, err := s.put(sec, in.ClientRequestToken, val, nil)
		if err != nil {
			return nil, err
		}
		out.VersionId = v.id
	}
	if in.Description != nil {
		sec.description, sec.changed = *in.Description, time.Now()
	}
	if in.KmsKeyId != nil {
		sec.kmsKeyID, sec.changed = *in.KmsKeyId, time.Now()
	}
	return out, nil
}
