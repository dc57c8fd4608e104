package secretsmanager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awstest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
)

const functionARN = "arn:aws:lambda:eu-west-1:123456789012:function:rotation"

// function is a rotation function: what it does in a step, and what it saw.
type function struct {
	client *sm.Client
	// do replaces the ordinary work of a step.
	do map[string]func(ctx context.Context, e event) error

	mu    sync.Mutex
	steps []string
}

type event struct{ Step, SecretId, ClientRequestToken, RotationToken string }

func (f *function) invoke(ctx context.Context, arn string, payload []byte) error {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil || arn != functionARN {
		return fmt.Errorf("function %s, payload %s: %w", arn, payload, err)
	}
	f.mu.Lock()
	f.steps = append(f.steps, e.Step)
	f.mu.Unlock()
	if do := f.do[e.Step]; do != nil {
		return do(ctx, e)
	}
	switch e.Step {
	case "createSecret":
		return f.create(ctx, e)
	case "finishSecret":
		return f.finish(ctx, e)
	}
	return nil
}

// create puts a new value, once.
func (f *function) create(ctx context.Context, e event) error {
	in := &sm.PutSecretValueInput{
		SecretId: &e.SecretId, ClientRequestToken: &e.ClientRequestToken,
		SecretString: aws.String("new"), VersionStages: []string{"AWSPENDING"},
	}
	if e.RotationToken != "" {
		in.RotationToken = &e.RotationToken
	}
	_, err := f.client.PutSecretValue(ctx, in)
	return err
}

// finish moves AWSCURRENT, unless it has.
func (f *function) finish(ctx context.Context, e event) error {
	d, err := f.client.DescribeSecret(ctx, &sm.DescribeSecretInput{SecretId: &e.SecretId})
	if err != nil {
		return err
	}
	for id, stages := range d.VersionIdsToStages {
		if id != e.ClientRequestToken && slices.Contains(stages, "AWSCURRENT") {
			_, err = f.client.UpdateSecretVersionStage(ctx, &sm.UpdateSecretVersionStageInput{
				SecretId: &e.SecretId, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &e.ClientRequestToken, RemoveFromVersionId: &id,
			})
		}
	}
	return err
}

func (f *function) seen() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.steps, " ")
}

const allSteps = "createSecret setSecret testSecret finishSecret"

// failing returns a step that fails n times and then does its work.
func failing(n int, work func(context.Context, event) error) func(context.Context, event) error {
	return func(ctx context.Context, e event) error {
		if n--; n >= 0 {
			return errors.New("failed step")
		}
		return work(ctx, e)
	}
}

func nothing(context.Context, event) error { return nil }

// rotating runs the test in a bubble, with a secret that has a value and rotation enabled.
func rotating(t *testing.T, options secretsmanager.Options, test func(*testing.T, *secretsmanager.Server, *function, string)) {
	synctest.Test(t, func(t *testing.T) {
		f := &function{do: map[string]func(context.Context, event) error{}}
		options.Invoke = f.invoke
		if options.RetryDelay == 0 {
			options.RetryDelay = time.Minute
		}
		server, client := newServer(t, options)
		f.client = client
		arn := server.AddSecret("runner", "old")
		server.EnableRotation(arn, functionARN)
		time.Sleep(time.Second) // of the bubble: later times differ from its creation
		test(t, server, f, arn)
	})
}

func rotate(t *testing.T, c *sm.Client, in sm.RotateSecretInput) error {
	t.Helper()
	_, err := c.RotateSecret(t.Context(), &in)
	return err
}

func wait(t *testing.T, server *secretsmanager.Server, arn, name string) secretsmanager.Event {
	t.Helper()
	e, err := server.WaitRotation(t.Context(), arn)
	if err != nil || e.Name != name {
		t.Fatalf("event %+v, %v; want %s", e, err, name)
	}
	return e
}

func TestRotation(t *testing.T) {
	rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		before := describe(t, f.client, arn)
		id := aws.String(token("new"))
		f.do["createSecret"] = func(ctx context.Context, e event) error {
			if e != (event{"createSecret", arn, *id, ""}) {
				t.Errorf("event %+v", e)
			}
			// The version is registered, and has no value yet.
			d := describe(t, f.client, arn)
			if !slices.Equal(d.VersionIdsToStages[*id], []string{"AWSPENDING"}) || !*d.RotationEnabled || *d.RotationLambdaARN != functionARN {
				t.Errorf("described as %+v", d)
			}
			if v := server.Versions(arn)[1]; !v.Empty || v.Value != "" {
				t.Errorf("version %+v", v)
			}
			_, err := f.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: &arn, VersionId: id, VersionStage: aws.String("AWSPENDING")})
			awstest.WantError(t, err, "ResourceNotFoundException", "secret value for VersionId: "+*id)
			_, err = f.client.GetSecretValue(ctx, &sm.GetSecretValueInput{SecretId: &arn, VersionStage: aws.String("AWSPENDING")})
			awstest.WantError(t, err, "ResourceNotFoundException",
				"Secrets Manager can't find the specified secret value for staging label: AWSPENDING")
			_, err = f.client.UpdateSecretVersionStage(ctx, &sm.UpdateSecretVersionStageInput{
				SecretId: &arn, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: id, RemoveFromVersionId: &server.Versions(arn)[0].ID,
			})
			awstest.WantError(t, err, "InvalidRequestException", "has no value")
			return f.create(ctx, e)
		}
		f.do["finishSecret"] = func(ctx context.Context, e event) error {
			if err := f.finish(ctx, e); err != nil {
				return err
			}
			// Until Secrets Manager takes note, both labels are there.
			wantLabels(t, server, arn, "?:AWSPREVIOUS new:AWSCURRENT+AWSPENDING")
			return nil
		}
		out, err := f.client.RotateSecret(t.Context(), &sm.RotateSecretInput{SecretId: &arn, ClientRequestToken: id})
		awstest.WantError(t, err, "", "")
		if *out.VersionId != *id || *out.ARN != arn {
			t.Errorf("out = %+v", out)
		}
		e := wait(t, server, arn, secretsmanager.RotationSucceeded)
		if e.ARN != arn || e.Token != *id || e.Attempts != 1 || e.Err != nil {
			t.Errorf("event %+v", e)
		}
		wantLabels(t, server, arn, "?:AWSPREVIOUS new:AWSCURRENT")
		if f.seen() != allSteps {
			t.Errorf("steps %s", f.seen())
		}
		after := describe(t, f.client, arn)
		if before.LastRotatedDate != nil || after.LastRotatedDate == nil || !after.LastChangedDate.After(*before.LastChangedDate) {
			t.Errorf("before %+v, after %+v", before, after)
		}
		var names []string
		for _, e := range server.Events() {
			names = append(names, e.Name)
		}
		if !slices.Equal(names, []string{"RotationStarted", "RotationSucceeded"}) {
			t.Errorf("events %v", names)
		}
		// The same request once more is the same rotation.
		awstest.WantError(t, rotate(t, f.client, sm.RotateSecretInput{SecretId: &arn, ClientRequestToken: id}), "", "")
		if f.seen() != allSteps {
			t.Errorf("steps %s", f.seen())
		}
	})
}

func TestFailedStepRepeatsTheWholeRotation(t *testing.T) {
	for step, want := range map[string]string{
		"createSecret": "createSecret " + allSteps,
		"setSecret":    "createSecret setSecret " + allSteps,
		"testSecret":   "createSecret setSecret testSecret " + allSteps,
		"finishSecret": allSteps + " " + allSteps,
	} {
		t.Run(step, func(t *testing.T) {
			rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
				work := nothing
				switch step {
				case "createSecret":
					work = f.create
				case "finishSecret":
					work = f.finish
				}
				f.do[step] = failing(1, work)
				begin := time.Now()
				id := server.Rotate(arn)
				e := wait(t, server, arn, secretsmanager.RotationSucceeded)
				if f.seen() != want || e.Attempts != 2 || e.Token != id || time.Since(begin) != time.Minute {
					t.Errorf("steps %s, event %+v after %s", f.seen(), e, time.Since(begin))
				}
				wantLabels(t, server, arn, "?:AWSPREVIOUS ?:AWSCURRENT")
			})
		})
	}
}

// A restart that failed after the label moved is tried again, with both labels.
func TestFinishIsRepeatedAfterTheLabelMoved(t *testing.T) {
	rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		n := 0
		f.do["finishSecret"] = func(ctx context.Context, e event) error {
			if n++; n == 1 {
				return errors.Join(f.finish(ctx, e), errors.New("no restart"))
			}
			wantLabels(t, server, arn, "?:AWSPREVIOUS ?:AWSCURRENT+AWSPENDING")
			return nil
		}
		server.Rotate(arn)
		wait(t, server, arn, secretsmanager.RotationSucceeded)
	})
}

func TestRotationFailsAfterItsLastAttempt(t *testing.T) {
	rotating(t, secretsmanager.Options{Attempts: 2}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		f.do["setSecret"] = failing(3, nothing)
		id := server.Rotate(arn)
		e := wait(t, server, arn, secretsmanager.RotationFailed)
		if e.Attempts != 2 || e.Err == nil || !strings.Contains(e.Err.Error(), "setSecret: failed step") {
			t.Errorf("event %+v", e)
		}
		wantLabels(t, server, arn, "?:AWSCURRENT ?:AWSPENDING") // it stays

		// A new rotation is refused, and the old one tried again.
		err := rotate(t, f.client, sm.RotateSecretInput{SecretId: &arn, ClientRequestToken: aws.String(token("new"))})
		awstest.WantError(t, err, "InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.")
		if e := wait(t, server, arn, secretsmanager.RotationSucceeded); e.Token != id || e.Attempts != 2 {
			t.Errorf("event %+v", e)
		}
	})
}

func TestScheduleReattemptsTheUnfinishedRotation(t *testing.T) {
	rotating(t, secretsmanager.Options{Attempts: 1}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		f.do["setSecret"] = failing(1, nothing)
		id := server.Rotate(arn)
		wait(t, server, arn, secretsmanager.RotationFailed)
		if again := server.Rotate(arn); again != id {
			t.Errorf("token %s, want %s", again, id)
		}
		wait(t, server, arn, secretsmanager.RotationSucceeded)
		if next := server.Rotate(arn); next == id {
			t.Error("the finished rotation's token again")
		}
	})
}

// A version with both AWSPENDING and AWSCURRENT is no unfinished rotation.
func TestNewRotationAfterFinishFailed(t *testing.T) {
	rotating(t, secretsmanager.Options{Attempts: 1}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		f.do["finishSecret"] = func(ctx context.Context, e event) error {
			return errors.Join(f.finish(ctx, e), errors.New("no restart"))
		}
		id := server.Rotate(arn)
		wait(t, server, arn, secretsmanager.RotationFailed)
		wantLabels(t, server, arn, "?:AWSPREVIOUS ?:AWSCURRENT+AWSPENDING")
		f.do["finishSecret"] = nil
		if server.Rotate(arn) == id {
			t.Error("the same rotation again")
		}
		wait(t, server, arn, secretsmanager.RotationSucceeded)
	})
}

func TestRotationWithoutTheLabelMovedFails(t *testing.T) {
	rotating(t, secretsmanager.Options{Attempts: 1}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		f.do["finishSecret"] = nothing
		server.Rotate(arn)
		if e := wait(t, server, arn, secretsmanager.RotationFailed); !strings.Contains(e.Err.Error(), "AWSCURRENT") {
			t.Errorf("event %+v", e)
		}
	})
}

func TestRotateSecretWhileOneRuns(t *testing.T) {
	rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		f.do["setSecret"] = failing(1, nothing)
		id := server.Rotate(arn)
		synctest.Wait() // it waits for its second attempt
		err := rotate(t, f.client, sm.RotateSecretInput{SecretId: &arn})
		awstest.WantError(t, err, "InvalidRequestException", "A previous rotation isn't complete")
		awstest.WantError(t, rotate(t, f.client, sm.RotateSecretInput{SecretId: &arn, ClientRequestToken: &id}), "", "") // itself
		wait(t, server, arn, secretsmanager.RotationSucceeded)
		if want := "createSecret setSecret " + allSteps; f.seen() != want {
			t.Errorf("steps %s", f.seen())
		}
	})
}

func TestRotationIsAbandoned(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, server *secretsmanager.Server, c *sm.Client, e event) error
		want   string
	}{
		"a person's put": {func(t *testing.T, server *secretsmanager.Server, c *sm.Client, e event) error {
			server.Put(e.SecretId, "person's")
			return nil
		}, "?:AWSPREVIOUS ?:AWSCURRENT"},
		"a person's put, the step fails": {func(t *testing.T, server *secretsmanager.Server, c *sm.Client, e event) error {
			server.Put(e.SecretId, "person's")
			return errors.New("failed step")
		}, "?:AWSPREVIOUS ?:AWSCURRENT"},
		"AWSCURRENT moved to another version": {func(t *testing.T, server *secretsmanager.Server, c *sm.Client, e event) error {
			if err := put(t, c, e.SecretId, "other", "other", "ours"); err != nil {
				return err
			}
			_, err := c.UpdateSecretVersionStage(t.Context(), &sm.UpdateSecretVersionStageInput{
				SecretId: &e.SecretId, VersionStage: aws.String("AWSCURRENT"),
				MoveToVersionId: aws.String(token("other")), RemoveFromVersionId: &server.Versions(e.SecretId)[0].ID,
			})
			return err
		}, "?:AWSPREVIOUS other:AWSCURRENT+ours"},
		"AWSPENDING removed": {func(t *testing.T, server *secretsmanager.Server, c *sm.Client, e event) error {
			_, err := c.UpdateSecretVersionStage(t.Context(), &sm.UpdateSecretVersionStageInput{
				SecretId: &e.SecretId, VersionStage: aws.String("AWSPENDING"), RemoveFromVersionId: &e.ClientRequestToken,
			})
			return err
		}, "?:AWSCURRENT"},
		"another AWSPENDING": {func(t *testing.T, server *secretsmanager.Server, c *sm.Client, e event) error {
			return put(t, c, e.SecretId, "other", "other", "AWSPENDING")
		}, "?:AWSCURRENT other:AWSPENDING"},
	} {
		t.Run(name, func(t *testing.T) {
			rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
				f.do["setSecret"] = func(ctx context.Context, e event) error { return test.change(t, server, f.client, e) }
				begin := time.Now()
				id := server.Rotate(arn)
				if e := wait(t, server, arn, secretsmanager.RotationAbandoned); e.Token != id {
					t.Errorf("event %+v", e)
				}
				if f.seen() != "createSecret setSecret" || time.Since(begin) != 0 {
					t.Errorf("steps %s in %s", f.seen(), time.Since(begin))
				}
				wantLabels(t, server, arn, test.want)
			})
		})
	}
}

func TestRotationIsAbandonedBetweenAttempts(t *testing.T) {
	rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		f.do["setSecret"] = failing(1, nothing)
		begin := time.Now()
		server.Rotate(arn)
		synctest.Wait()
		server.Put(arn, "person's")
		wait(t, server, arn, secretsmanager.RotationAbandoned)
		if time.Since(begin) != 0 {
			t.Error("it waited for an attempt that was not to come")
		}
	})
}

func TestCancelRotateSecret(t *testing.T) {
	rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		f.do["setSecret"] = failing(1, nothing)
		id := server.Rotate(arn)
		synctest.Wait()
		out, err := f.client.CancelRotateSecret(t.Context(), &sm.CancelRotateSecretInput{SecretId: &arn})
		awstest.WantError(t, err, "", "")
		if *out.VersionId != id {
			t.Errorf("out = %+v", out)
		}
		wait(t, server, arn, secretsmanager.RotationAbandoned)
		wantLabels(t, server, arn, "?:AWSCURRENT ?:AWSPENDING") // as it was left
		if d := describe(t, f.client, arn); *d.RotationEnabled || *d.RotationLambdaARN != functionARN {
			t.Errorf("described as %+v", d)
		}
		if server.Rotate(arn) != "" {
			t.Error("the schedule rotates a secret whose rotation is cancelled")
		}
		other := server.AddSecret("other", "value")
		_, err = f.client.CancelRotateSecret(t.Context(), &sm.CancelRotateSecretInput{SecretId: &other})
		awstest.WantError(t, err, "InvalidRequestException", "")
	})
}

func TestRotateSecretIsChecked(t *testing.T) {
	rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		f.do["createSecret"] = failing(1000, nothing)
		empty, plain := server.AddEmptySecret("empty"), server.AddSecret("plain", "value")
		used := server.Versions(arn)[0].ID
		for name, test := range map[string]struct {
			in          sm.RotateSecretInput
			code, words string
		}{
			"no value": {sm.RotateSecretInput{SecretId: &empty, RotationLambdaARN: aws.String(functionARN)}, "InvalidRequestException",
				"no value"},
			"no function": {sm.RotateSecretInput{SecretId: &plain}, "InvalidRequestException",
				"No Lambda rotation function ARN is associated with this secret."},
			"no ARN": {sm.RotateSecretInput{SecretId: &plain, RotationLambdaARN: aws.String("rotation")}, "InvalidParameterException",
				"ARN"},
			"short token": {sm.RotateSecretInput{SecretId: &arn, ClientRequestToken: aws.String("short")}, "InvalidParameterException",
				"32-64"},
			"token of another": {sm.RotateSecretInput{SecretId: &arn, ClientRequestToken: &used}, "InvalidRequestException", "already in use"},
			"schedule": {sm.RotateSecretInput{SecretId: &arn,
				RotationRules: &types.RotationRulesType{ScheduleExpression: aws.String("rate(1 hour)")}},
				"InvalidParameterException", "ScheduleExpression"},
		} {
			if t.Failed() {
				t.Logf("before %s", name) // no subtests in a bubble
			}
			awstest.WantError(t, rotate(t, f.client, test.in), test.code, test.words)
		}
		if len(server.Events()) != 0 || describe(t, f.client, plain).RotationEnabled != nil {
			t.Error("a refused request had an effect")
		}
		if server.Rotate(plain) != "" {
			t.Error("the schedule rotates a secret without rotation")
		}
		rules := &types.RotationRulesType{ScheduleExpression: aws.String("rate(4 hours)"), Duration: aws.String("2h")}
		awstest.WantError(t,
			rotate(t, f.client, sm.RotateSecretInput{SecretId: &plain, RotationLambdaARN: aws.String(functionARN), RotationRules: rules}), "", "")
		if d := describe(t, f.client, plain); !*d.RotationEnabled || *d.RotationRules.ScheduleExpression != "rate(4 hours)" {
			t.Errorf("described as %+v", d)
		}
	})
}

// RotateImmediately=false calls testSecret alone, on a temporary version.
func TestRotateLater(t *testing.T) {
	for _, copies := range []bool{false, true} {
		for _, before := range []bool{false, true} {
			for _, fails := range []bool{false, true} {
				t.Run(fmt.Sprintf("copies=%t,before=%t,fails=%t", copies, before, fails), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						f := &function{do: map[string]func(context.Context, event) error{}}
						server, client := newServer(t, secretsmanager.Options{Invoke: f.invoke, TestCopiesValue: copies, TestBeforeEnabled: before})
						f.client = client
						arn := server.AddSecret("runner", "old")
						want := secretsmanager.TestRotationSucceeded
						f.do["testSecret"] = func(ctx context.Context, e event) error {
							wantLabels(t, server, arn, "?:AWSCURRENT new:AWSPENDING")
							v := server.Versions(arn)[1]
							if v.Empty == copies || copies && v.Value != "old" {
								t.Errorf("version %+v", v)
							}
							if d := describe(t, client, arn); aws.ToBool(d.RotationEnabled) == before {
								t.Errorf("RotationEnabled %v", d.RotationEnabled)
							}
							if fails {
								want = secretsmanager.TestRotationFailed
								return errors.New("failed step")
							}
							return nil
						}
						awstest.WantError(t, rotate(t, client, sm.RotateSecretInput{
							SecretId: &arn, ClientRequestToken: aws.String(token("new")),
							RotationLambdaARN: aws.String(functionARN), RotateImmediately: aws.Bool(false),
						}), "", "")
						e, err := server.WaitRotation(t.Context(), arn)
						if err != nil || e.Name != want || e.Attempts != 1 {
							t.Fatalf("event %+v, %v", e, err)
						}
						if f.seen() != "testSecret" || len(server.Versions(arn)) != 1 || !*describe(t, client, arn).RotationEnabled {
							t.Errorf("steps %s, versions %v", f.seen(), server.Versions(arn))
						}
					})
				})
			}
		}
	}
}

func TestRotationToken(t *testing.T) {
	rotating(t, secretsmanager.Options{RotationToken: true}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		f.do["createSecret"] = func(ctx context.Context, e event) error {
			if len(e.RotationToken) != 36 {
				t.Errorf("RotationToken %q", e.RotationToken)
			}
			without, other := e, e
			without.RotationToken, other.RotationToken = "", token("other")
			awstest.WantError(t, f.create(ctx, without), "AccessDeniedException", "RotationToken")
			awstest.WantError(t, f.create(ctx, other), "AccessDeniedException", "RotationToken")
			return f.create(ctx, e)
		}
		server.Rotate(arn)
		wait(t, server, arn, secretsmanager.RotationSucceeded)
		mustPut(t, f.client, arn, "other", "other") // no rotation: no token
	})
}

func TestReadLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, c := newServer(t, secretsmanager.Options{ReadLag: time.Second})
		arn := server.AddSecret("runner", "old")
		first := server.Versions(arn)[0].ID
		mustPut(t, c, arn, "new", "new", "AWSPENDING")
		get := func(id, stage *string) error {
			_, err := c.GetSecretValue(t.Context(), &sm.GetSecretValueInput{SecretId: &arn, VersionId: id, VersionStage: stage})
			return err
		}
		check := func(code string) {
			t.Helper()
			awstest.WantError(t, get(aws.String(token("new")), nil), code, "")
			awstest.WantError(t, get(nil, aws.String("AWSPENDING")), code, "")
			awstest.WantError(t, get(aws.String(token("new")), aws.String("AWSPENDING")), code, "")
			awstest.WantError(t, get(nil, nil), "", "")
			awstest.WantError(t, get(&first, nil), "", "")
			if len(describe(t, c, arn).VersionIdsToStages) != 2 {
				t.Error("DescribeSecret lags")
			}
		}
		check("ResourceNotFoundException")
		time.Sleep(999 * time.Millisecond)
		check("ResourceNotFoundException")
		time.Sleep(time.Millisecond)
		check("")
	})
}

func TestDatesChange(t *testing.T) {
	rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		last := *describe(t, f.client, arn).LastChangedDate
		changes := func(name string, want bool, do func() error) {
			t.Helper()
			time.Sleep(time.Second)
			if err := do(); err != nil {
				t.Fatal(err)
			}
			now := *describe(t, f.client, arn).LastChangedDate
			if now.After(last) != want {
				t.Errorf("%s: LastChangedDate changed %t", name, !want)
			}
			last = now
		}
		stage := func(label, to, from string) func() error {
			return func() error {
				in := &sm.UpdateSecretVersionStageInput{SecretId: &arn, VersionStage: &label, MoveToVersionId: &to}
				if from != "" {
					in.RemoveFromVersionId = &from
				}
				_, err := f.client.UpdateSecretVersionStage(t.Context(), in)
				return err
			}
		}
		changes("put", true, func() error { return put(t, f.client, arn, "one", "1") })
		changes("same put", false, func() error { return put(t, f.client, arn, "one", "1") })
		changes("label", true, stage("ours", token("one"), ""))
		changes("same label", false, stage("ours", token("one"), ""))
		changes("read", false, func() error {
			_, err := f.client.GetSecretValue(t.Context(), &sm.GetSecretValueInput{SecretId: &arn})
			return err
		})
		begin := time.Now()
		mustPut(t, f.client, arn, "two", "2", "ours")
		if v := server.Versions(arn)[2]; !v.Created.Equal(begin) {
			t.Errorf("version %+v", v)
		}
	})
}

// Beyond a hundred versions those without labels go, but none of the last day.
func TestOldVersionsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, c := newServer(t, secretsmanager.Options{})
		arn := server.AddEmptySecret("runner")
		mustPut(t, c, arn, "kept", "kept", "ours")
		for i := range 120 {
			server.Put(arn, fmt.Sprint(i))
		}
		if n := len(server.Versions(arn)); n != 121 {
			t.Errorf("%d versions on the first day", n)
		}
		time.Sleep(25 * time.Hour)
		server.Put(arn, "next day")
		versions := server.Versions(arn)
		if len(versions) != 100 || versions[0].ID != token("kept") || versions[99].Value != "next day" {
			t.Errorf("%d versions, from %+v", len(versions), versions[0])
		}
	})
}

func TestCloseEndsARotation(t *testing.T) {
	for name, step := range map[string]func(context.Context, event) error{
		"in a step":        func(ctx context.Context, e event) error { <-ctx.Done(); return ctx.Err() },
		"between attempts": failing(1, nothing),
	} {
		t.Run(name, func(t *testing.T) {
			rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
				f.do["setSecret"] = step
				server.Rotate(arn)
				synctest.Wait()
				begin := time.Now()
				server.Close()
				if _, err := server.WaitRotation(t.Context(), arn); err == nil || time.Since(begin) != 0 {
					t.Errorf("err = %v after %s", err, time.Since(begin))
				}
				server.Rotate(arn) // starts nothing
				if _, err := server.WaitRotation(t.Context(), arn); err == nil {
					t.Error("a closed server rotates")
				}
			})
		})
	}
}

func TestWaitRotation(t *testing.T) {
	rotating(t, secretsmanager.Options{}, func(t *testing.T, server *secretsmanager.Server, f *function, arn string) {
		if _, err := server.WaitRotation(t.Context(), arn); err == nil {
			t.Error("waited for no rotation")
		}
		f.do["setSecret"] = failing(1, nothing)
		server.Rotate(arn)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := server.WaitRotation(ctx, arn); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestRotationWithoutAFunction(t *testing.T) {
	server, _ := newServer(t, secretsmanager.Options{Attempts: 1})
	arn := server.AddSecret("runner", "value")
	server.EnableRotation(arn, functionARN)
	server.Rotate(arn)
	wait(t, server, arn, secretsmanager.RotationFailed)
}
