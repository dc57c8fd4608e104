package secretsmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// The names of events, as CloudTrail has them. "Test" ones are of RotateImmediately=false.
const (
	RotationStarted       = "RotationStarted"
	RotationSucceeded     = "RotationSucceeded"
	RotationFailed        = "RotationFailed"
	RotationAbandoned     = "RotationAbandoned"
	TestRotationStarted   = "TestRotationStarted"
	TestRotationSucceeded = "TestRotationSucceeded"
	TestRotationFailed    = "TestRotationFailed"
)

// Event is what Secrets Manager reports of a rotation: its start, and once, after the last attempt, its end.
type Event struct {
	Time     time.Time
	Name     string // RotationStarted, …
	ARN      string // of the secret
	Token    string // ClientRequestToken of the rotation
	Attempts int    // how often it was tried
	Err      error  // why the last attempt failed
}

// Steps of a rotation, in their order.
var steps = []string{"createSecret", "setSecret", "testSecret", "finishSecret"}

// rotation is a rotation that runs or ran. The server's lock guards abandoned.
type rotation struct {
	token         string
	functionARN   string
	rotationToken string // sent to the function, if not empty
	test          bool   // testSecret alone, on a temporary version

	abandoned bool
	stop      chan struct{} // closed when it is abandoned: no waiting for another attempt

	done chan struct{} // closed at its end, after …
	end  Event         // … this was set; no Name if the server was closed
}

func (r *rotation) running() bool {
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// abandon lets the step that runs come to its end, and no further one begin.
func (r *rotation) abandon() {
	if !r.abandoned {
		r.abandoned = true
		close(r.stop)
	}
}

// abandonFor abandons the rotation that runs because another version than its own became the current one.
func (s *secret) abandonFor(id string) {
	r := s.rotation
	if r == nil || !r.running() || r.token == id {
		return
	}
	if v := s.version(r.token); v.has(pending) {
		s.unlabel(v, pending)
	}
	r.abandon()
}

// checkRotationToken checks who puts a value: while a rotation with a token
// runs, only that token is right, and its own version needs it.
func (s *secret) checkRotationToken(token string, given *string) error {
	want, own := "", false
	if r := s.rotation; r != nil && r.running() {
		want, own = r.rotationToken, r.token == token
	}
	if given == nil && (want == "" || !own) || given != nil && *given == want {
		return nil
	}
	return awsjson.Errorf("AccessDeniedException", "The RotationToken is missing or isn't that of the rotation.")
}

// startRotation registers the token's version as AWSPENDING, without a value,
// and starts the steps. The caller holds the lock, here and below.
func (s *Server) startRotation(sec *secret, token string) {
	sec.register(token, value{})
	s.start(sec, &rotation{token: token})
}

// startTest starts the test of RotateImmediately=false.
func (s *Server) startTest(sec *secret, token string) {
	var val value
	if s.options.TestCopiesValue {
		val = sec.holder(current).value
	}
	sec.register(token, val)
	if !s.options.TestBeforeEnabled {
		sec.configured, sec.enabled = true, true
	}
	s.start(sec, &rotation{token: token, test: true})
}

// reattempt starts the unfinished rotation again, with its token, unless it is running.
func (s *Server) reattempt(sec *secret) {
	if sec.rotation == nil || !sec.rotation.running() {
		s.start(sec, &rotation{token: sec.holder(pending).id})
	}
}

// register adds a version as AWSPENDING.
func (s *secret) register(token string, val value) {
	v := &version{id: token, value: val, created: time.Now(), stages: []string{}}
	s.add(v)
	s.label(v, pending)
	s.changed = v.created
}

func (s *Server) start(sec *secret, r *rotation) {
	r.functionARN = sec.functionARN
	r.stop, r.done = make(chan struct{}), make(chan struct{})
	if s.options.RotationToken {
		r.rotationToken = awsjson.NewID()
	}
	sec.rotation = r
	name := RotationStarted
	if r.test {
		name = TestRotationStarted
	}
	s.events = append(s.events, Event{Time: time.Now(), Name: name, ARN: sec.arn, Token: r.token})
	if s.ctx.Err() != nil { // closed
		close(r.done)
		return
	}
	s.running.Go(func() { s.run(sec, r) })
}

// run runs the rotation to its end.
func (s *Server) run(sec *secret, r *rotation) {
	attempts, err := 0, error(nil)
	for {
		attempts++
		err = s.attempt(sec, r)
		if err == nil || s.ctx.Err() != nil || r.test || attempts == s.options.Attempts {
			break
		}
		if !s.pause(r) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(r.done)
	if s.ctx.Err() != nil {
		return
	}
	now := time.Now()
	name := RotationSucceeded
	switch {
	case r.abandoned:
		name, err = RotationAbandoned, errAbandoned
	case r.test:
		s.endTest(sec, r)
		if name = TestRotationSucceeded; err != nil {
			name = TestRotationFailed
		}
	case err != nil:
		name = RotationFailed
	default:
		if !s.played["pending-stays"] {
			sec.unlabel(sec.version(r.token), pending)
		}
		sec.rotated, sec.changed = now, now
	}
	r.end = Event{Time: now, Name: name, ARN: sec.arn, Token: r.token, Attempts: attempts, Err: err}
	s.events = append(s.events, r.end)
}

var errAbandoned = errors.New("secretsmanager: the rotation was abandoned")

// attempt goes through the steps once.
func (s *Server) attempt(sec *secret, r *rotation) error {
	hint := steps
	if r.test {
		hint = []string{"testSecret"}
	}
	for _, step := range hint {
		payload, err := json.Marshal(struct {
			Step, SecretId, ClientRequestToken string
			RotationToken                      string `json:",omitempty"`
		}{step, sec.arn, r.token, r.rotationToken})
		if err != nil {
			return err
		}
		if s.options.Invoke == nil {
			return errors.New("secretsmanager: no Options.Invoke")
		}
		invokeErr := s.options.Invoke(s.ctx, r.functionARN, payload)

		s.mu.Lock()
		// The version is being rotated as long as it has the label, which the function must not take away either.
		if !sec.version(r.token).has(pending) {
			r.abandon()
		}
		abandoned, isCurrent := r.abandoned, sec.version(r.token).has(current)
		s.mu.Unlock()
		switch {
		case abandoned:
			return errAbandoned
		case invokeErr != nil:
			return fmt.Errorf("%s: %w", step, invokeErr)
		case step == "finishSecret" && !isCurrent:
			return errors.New("finishSecret: AWSCURRENT is not on the new version")
		}
	}
	return nil
}

// pause waits before the next attempt; false means that there is none.
func (s *Server) pause(r *rotation) bool {
	t := time.NewTimer(s.options.RetryDelay)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
		return false
	case <-r.stop:
		return false
	case <-t.C:
		s.mu.Lock()
		defer s.mu.Unlock()
		return !r.abandoned
	}
}

// endTest removes the temporary version.
func (s *Server) endTest(sec *secret, r *rotation) {
	now := time.Now()
	v := sec.version(r.token)
	sec.unlabel(v, pending)
	if len(v.stages) == 0 {
		sec.remove(v)
	}
	sec.configured, sec.enabled, sec.changed = true, true, now
}

// Events returns what happened to all secrets' rotations, the oldest first.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// WaitRotation waits for the end of the secret's rotation and returns it; if none is running it returns the end of the last one.
func (s *Server) WaitRotation(ctx context.Context, arn string) (Event, error) {
	s.mu.Lock()
	sec, err := s.find(arn)
	if err != nil || sec.rotation == nil {
		s.mu.Unlock()
		return Event{}, fmt.Errorf("secretsmanager: %s was never rotated", arn)
	}
	r := sec.rotation
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return Event{}, ctx.Err()
	case <-r.done:
	}
	if r.end.Name == "" {
		return Event{}, errors.New("secretsmanager: closed during the rotation")
	}
	return r.end, nil
}
