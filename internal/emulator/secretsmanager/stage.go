package secretsmanager

import (
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

type stageInput struct {
	SecretId            string
	VersionStage        string
	MoveToVersionId     string
	RemoveFromVersionId string
}

func (s *Server) updateSecretVersionStage(in *stageInput) (*versionOutput, error) {
	if err := checkLabel(in.VersionStage); err != nil {
		return nil, err
	}
	if in.MoveToVersionId == "" && in.RemoveFromVersionId == "" {
		return nil, awsjson.Errorf("InvalidParameterException", "You must specify MoveToVersionId, RemoveFromVersionId, or both.")
	}
	for _, id := range []string{in.MoveToVersionId, in.RemoveFromVersionId} {
		if id == "" {
			continue
		}
		if err := checkToken(id); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.findUsable(in.SecretId)
	if err != nil {
		return nil, err
	}
	s.changing(sec)
	if err := sec.moveLabel(in.VersionStage, in.MoveToVersionId, in.RemoveFromVersionId); err != nil {
		return nil, err
	}
	return &versionOutput{ARN: sec.arn, Name: sec.name}, nil
}

// moveLabel moves the label from a version to another; either may be empty.
func (s *secret) moveLabel(label, toID, fromID string) error {
	holder, to := s.holder(label), s.version(toID)
	if toID != "" && to == nil {
		return awsjson.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: %s", toID)
	}
	if fromID != "" {
		switch from := s.version(fromID); {
		case from == nil:
			return awsjson.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: %s", fromID)
		case from != holder && holder != nil && to != nil:
			return awsjson.Errorf("InvalidParameterException", "When you move staging label %s, if you specify RemoveFromVersionId, it must be "+
				"set to the version that currently has the staging label %[1]s.", label)
		case from != holder:
			return awsjson.Errorf("InvalidParameterException", "Staging label %s is not attached to version %s.", label, fromID)
		}
	}
	switch {
	case to == nil && label == current:
		return awsjson.Errorf("InvalidParameterException",
			"You can only move staging label AWSCURRENT to a different secret version. It can’t be completely removed.")
	case to == nil:
		s.unlabel(holder, label)
	case to == holder:
		return nil // nothing changes, LastChangedDate neither
	case holder != nil && fromID == "":
		return awsjson.Errorf("InvalidParameterException", "The parameter RemoveFromVersionId can't be empty. Staging label %s is currently "+
			"attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", label, holder.id)
	case label == current && to.value.empty():
		return awsjson.Errorf("InvalidRequestException", "You can't move staging label AWSCURRENT to version %s because it has no value.", toID)
	default:
		if err := s.checkLimit(label); err != nil {
			return err
		}
		s.label(to, label)
	}
	s.changed = time.Now()
	if label == current {
		s.abandonFor(to.id)
	}
	return nil
}
