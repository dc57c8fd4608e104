package ecs

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// secretsAPI is what is used of *secretsmanager.Client.
type secretsAPI interface {
	DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput,
		...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error)
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput,
		...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	PutSecretValue(context.Context, *secretsmanager.PutSecretValueInput,
		...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error)
	UpdateSecretVersionStage(context.Context, *secretsmanager.UpdateSecretVersionStageInput,
		...func(*secretsmanager.Options)) (*secretsmanager.UpdateSecretVersionStageOutput, error)
}

// secret is one secret of Secrets Manager as this process knows it.
type secret struct {
	api           secretsAPI
	arn           string
	rotationToken string

	labels  map[string]string // label → version ID, as last seen, with our own changes
	changed time.Time         // LastChangedDate as last seen

	versions map[string]version // by ID; the value of a version never changes
	moved    map[string]string  // our label changes that DescribeSecret has not shown yet; "" for a removal
}

type version struct {
	Document
	created time.Time
}

// pendingReads are the waits between tries to read a pending version that must have a value, for reads may lag.
var pendingReads = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}

// describe reads the labels. Our own changes count at once, even where a read lags.
func (s *secret) describe(ctx context.Context) error {
	out, err := s.api.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &s.arn})
	if hasCode(err, "ResourceNotFoundException") {
		return rotate.Errorf(rotate.Configuration, "there is no secret %s", s.arn)
	}
	if err != nil {
		return s.failure("DescribeSecret", err)
	}
	if out.DeletedDate != nil {
		return rotate.Errorf(rotate.Configuration, "the secret %s is marked for deletion", s.arn).WithHint("%s", restoreSecret(s.arn))
	}
	labels := map[string]string{}
	for id, stages := range out.VersionIdsToStages {
		for _, stage := range stages {
			labels[stage] = id
		}
	}
	for label, id := range s.moved {
		if labels[label] == id {
			delete(s.moved, label)
		} else if id == "" {
			delete(labels, label)
		} else {
			labels[label] = id
		}
	}
	s.labels, s.changed = labels, aws.ToTime(out.LastChangedDate)
	return nil
}

// failure is [Failure] without any secret that is known of this one.
func (s *secret) failure(operation string, err error, secrets ...maia.Secret) error {
	for _, held := range s.versions {
		secrets = append(secrets, held.Secret, held.credentials.ClientSecret)
	}
	return Failure(operation, s.arn, err, append(secrets, maia.NewSecret(s.rotationToken))...)
}

// NoValueError is the error of a secret that has no AWSCURRENT version.
func NoValueError(arn string) error {
	return rotate.Errorf(rotate.Configuration, "the secret %s has no value yet", arn).
		WithHint(`store the runner's {"client_id":"…","client_secret":"…"} in it before rotation is enabled`)
}

// current is the version that tasks read.
func (s *secret) current(ctx context.Context) (version, error) {
	id, ok := s.labels[awsCurrent]
	if !ok {
		return version{}, NoValueError(s.arn)
	}
	found, ok, err := s.read(ctx, id, awsCurrent)
	if err == nil && !ok {
		err = rotate.Errorf(rotate.NotReady, "version %s of secret %s cannot be read yet", id, s.arn)
	}
	return found, err
}

// read gives the value of a version; ok is false if it has none, which only ResourceNotFoundException says.
func (s *secret) read(ctx context.Context, id, stage string) (found version, ok bool, err error) {
	if found, ok = s.versions[id]; ok {
		return found, true, nil
	}
	out, err := s.api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.arn, VersionId: &id, VersionStage: &stage})
	if hasCode(err, "ResourceNotFoundException") {
		return version{}, false, nil
	}
	if err != nil {
		failed := s.failure("GetSecretValue", err)
		if hasCode(err, "InvalidRequestException") && rotate.KindOf(failed) == rotate.Internal {
			return version{}, false, rotate.Errorf(rotate.NotReady, "%w", failed).
				WithHint("nothing: a label has moved meanwhile, the next run reads it again")
		}
		return version{}, false, failed
	}
	if out.SecretString == nil {
		return version{}, false, documentError("is binary")
	}
	document, err := ParseDocument(*out.SecretString)
	if err != nil {
		return version{}, false, err
	}
	found = version{Document: document, created: aws.ToTime(out.CreatedDate)}
	s.versions[id] = found
	return found, true, nil
}

// readWritten is read for a version that was written a moment ago.
func (s *secret) readWritten(ctx context.Context, id, stage string) (found version, ok bool, err error) {
	for _, wait := range pendingReads {
		if found, ok, err = s.read(ctx, id, stage); ok || err != nil {
			return found, ok, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return version{}, false, ctx.Err()
		}
	}
	return s.read(ctx, id, stage)
}

// put writes a version with one label.
func (s *secret) put(ctx context.Context, token, stage string, document Document) error {
	in := &secretsmanager.PutSecretValueInput{
		SecretId:           &s.arn,
		ClientRequestToken: &token,
		SecretString:       aws.String(document.Reveal()),
		VersionStages:      []string{stage},
	}
	if s.rotationToken != "" {
		in.RotationToken = &s.rotationToken
	}
	_, err := s.api.PutSecretValue(ctx, in)
	if hasCode(err, "ResourceExistsException") {
		// An earlier try may have stored these bytes already. If it stored others, the version cannot be changed any more.
		held, ok, readErr := s.readWritten(ctx, token, stage)
		if readErr == nil && ok && !held.Equal(document.Secret) {
			return rotate.Errorf(rotate.Vendor, "version %s of secret %s holds another value already", token, s.arn).
				WithHint("nothing: the next run puts what Maia holds under a fresh version")
		}
		if readErr == nil && ok {
			err = nil
		}
	}
	if err != nil {
		return s.failure("PutSecretValue", err, document.Secret, document.credentials.ClientSecret)
	}
	s.versions[token] = version{Document: document, created: time.Now()}
	s.labels[stage], s.moved[stage] = token, token
	return nil
}

// putCurrent makes a document AWSCURRENT outside of a rotation: it puts the document under a label of ours, and moves AWSCURRENT
// to it only from where it was seen, so that it overwrites nothing that another writer stores meanwhile. An earlier try that was
// cut off has left its version under the label.
func (s *secret) putCurrent(ctx context.Context, token string, document Document) error {
	if left, labelled := s.labels[labelNext]; labelled && left != s.labels[awsCurrent] {
		if held, ok, err := s.read(ctx, left, labelNext); err == nil && ok && held.Equal(document.Secret) {
			token = left
		}
	}
	if s.labels[labelNext] != token {
		if err := s.put(ctx, token, labelNext, document); err != nil {
			return err
		}
	}
	return s.move(ctx, awsCurrent, token)
}

// move attaches a label to a version, taking it off the one that has it.
func (s *secret) move(ctx context.Context, label, to string) error {
	from := s.labels[label]
	if from == to {
		return nil
	}
	in := &secretsmanager.UpdateSecretVersionStageInput{SecretId: &s.arn, VersionStage: &label, MoveToVersionId: &to}
	if from != "" {
		in.RemoveFromVersionId = &from
	}
	_, err := s.api.UpdateSecretVersionStage(ctx, in)
	if hasCode(err, "InvalidParameterException") && s.describe(ctx) == nil && s.labels[label] != from {
		if s.labels[label] == to {
			return nil // an earlier try has come through
		}
		return rotate.Errorf(rotate.NotReady, "%s of secret %s was moved by another writer meanwhile", label, s.arn).
			WithHint("nothing: the next run reads it again")
	}
	if err != nil {
		return s.failure("UpdateSecretVersionStage", err)
	}
	s.labels[label], s.moved[label] = to, to
	return nil
}

// remove takes a label off. That it is off already, by an earlier try, is a success.
func (s *secret) remove(ctx context.Context, label string) error {
	from, ok := s.labels[label]
	if !ok {
		return nil
	}
	_, err := s.api.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &s.arn, VersionStage: &label, RemoveFromVersionId: &from,
	})
	if err != nil {
		delete(s.moved, label) // another run may have taken it off
		if s.describe(ctx) == nil && s.labels[label] != from {
			return nil
		}
		if hasCode(err, "InvalidParameterException") { // it is not there, and the read lags
			delete(s.labels, label)
			s.moved[label] = ""
			return nil
		}
		return s.failure("UpdateSecretVersionStage", err)
	}
	delete(s.labels, label)
	s.moved[label] = ""
	return nil
}

func (s *secret) ours() []string {
	var labels []string
	for label := range maps.Keys(s.labels) {
		if kind, _ := splitLabel(label); kind != "" {
			labels = append(labels, label)
		}
	}
	slices.Sort(labels)
	return labels
}
