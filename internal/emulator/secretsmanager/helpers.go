package secretsmanager

import (
	"errors"
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// The functions below are for the program that runs the server: they set it up and do what a person or the schedule does. They
// panic if what they name does not exist, or if AWS would refuse it.

// AddSecret adds a secret with a value and returns its ARN.
func (s *Server) AddSecret(name, text string) (arn string) {
	return s.addValue(name, value{text: &text})
}

// AddBinarySecret adds a secret whose value is a SecretBinary.
func (s *Server) AddBinarySecret(name string, binary []byte) (arn string) {
	return s.addValue(name, value{binary: slices.Clone(binary)})
}

// AddEmptySecret adds a secret without any version.
func (s *Server) AddEmptySecret(name string) (arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mustCreate(name).arn
}

func (s *Server) addValue(name string, val value) string {
	must(val.check())
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.mustCreate(name)
	v, err := s.put(sec, awsjson.NewID(), val, nil)
	must(err)
	v.visible = v.created // it has been there for long
	return sec.arn
}

func (s *Server) mustCreate(name string) *secret {
	if s.secrets[name] != nil {
		must(errors.New("secret " + name + " already exists"))
	}
	return s.create(name)
}

// EnableRotation configures rotation with the function, as if long ago: it rotates nothing.
func (s *Server) EnableRotation(arn, functionARN string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.mustFind(arn)
	sec.configured, sec.enabled, sec.functionARN = true, true, functionARN
}

// SetSchedule gives rotation the rules of a ScheduleExpression and a Duration,
// which may be empty, from now on. It rotates nothing.
func (s *Server) SetSchedule(arn, expression, duration string) {
	rules := &rotationRules{ScheduleExpression: expression, Duration: duration}
	if expression == "" {
		must(errors.New("no schedule expression"))
	}
	must(rules.check())
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.mustFind(arn)
	sec.rules, sec.scheduled = rules, time.Now()
}

// SetKMSKey has the service say that a secret is encrypted with this key; "" is the one that AWS manages.
func (s *Server) SetKMSKey(arn, keyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustFind(arn).kmsKeyID = keyID
}

// SetResourcePolicy attaches a resource policy (JSON), or removes it if it is empty. It is shown, and decides nothing.
func (s *Server) SetResourcePolicy(arn, document string) {
	if document != "" {
		must(checkResourcePolicy(document))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustFind(arn).resourcePolicy = document
}

// MarkForDeletion does what DeleteSecret does: the secret is described, and nothing else.
func (s *Server) MarkForDeletion(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustFind(arn).deleted = time.Now()
}

// Rotate does what the schedule does when it comes due and returns the rotation's token: a new one, or that of the rotation that
// is unfinished. It returns "" and does nothing if rotation is not enabled or there is no value.
func (s *Server) Rotate(arn string) (token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec := s.mustFind(arn)
	switch {
	case !sec.enabled || sec.canRotate("") != nil:
		return ""
	case sec.unfinished():
		s.reattempt(sec)
	default:
		s.startRotation(sec, awsjson.NewID())
	}
	return sec.rotation.token
}

// Put stores a value as the current one under a fresh token, as a person in the console or Terraform does, and returns the token.
func (s *Server) Put(arn, text string) (token string) {
	val := value{text: &text}
	must(val.check())
	s.mu.Lock()
	defer s.mu.Unlock()
	token = awsjson.NewID()
	_, err := s.put(s.mustFind(arn), token, val, nil)
	must(err)
	return token
}

// Value returns the value that a stage or a version id names, AWSCURRENT if
// both are empty, as a service that reads the secret for its tasks gets it.
func (s *Server) Value(arn, stage, id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sec, err := s.find(arn)
	if err != nil {
		return "", err
	}
	v, err := sec.read(id, stage)
	if err != nil {
		return "", err
	}
	return v.value.String(), nil
}

// Version is one version of a secret.
type Version struct {
	ID      string
	Value   string // the text, or the bytes of a binary one
	Stages  []string
	Created time.Time
	Empty   bool // registered by a rotation, without a value
}

// Versions returns all versions, deprecated ones too, the oldest first.
func (s *Server) Versions(arn string) []Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Version
	for _, v := range s.mustFind(arn).versions {
		all = append(all, Version{
			ID: v.id, Value: v.value.String(), Stages: slices.Clone(v.stages), Created: v.created, Empty: v.value.empty(),
		})
	}
	return all
}

func (v value) String() string {
	if v.text != nil {
		return *v.text
	}
	return string(v.binary)
}

func (s *Server) mustFind(id string) *secret {
	sec, err := s.find(id)
	must(err)
	return sec
}

func must(err error) {
	if err != nil {
		panic("secretsmanager: " + err.Error())
	}
}
