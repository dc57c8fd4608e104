package secretsmanager

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// Options are the settings of a [Server]. All may be left out, but rotations need Invoke.
type Options struct {
	Region  string // "eu-west-1" if empty
	Account string // "123456789012" if empty

	// Invoke invokes the rotation function with an event and waits for it. An
	// error means that the step failed. Its context ends with the server.
	Invoke func(ctx context.Context, functionARN string, payload []byte) error
	// Attempts is how often a rotation that fails is tried in all, 3 if zero; RetryDelay passes between them.
	Attempts   int
	RetryDelay time.Duration

	// ReadLag is how long after PutSecretValue the new version is not yet found by its id or as AWSPENDING.
	ReadLag time.Duration

	// RotationToken sends one in every event, as the service does where the
	// function works across accounts; PutSecretValue then requires it.
	RotationToken bool

	// The two things that are not documented of RotateImmediately=false: whether the temporary AWSPENDING version has a copy of the
	// current value, and whether the function is called before RotationEnabled is seen as true.
	TestCopiesValue   bool
	TestBeforeEnabled bool
}

// Server is the service. It is an [http.Handler]; create it with [New].
type Server struct {
	*awsjson.Handler
	options Options
	ctx     context.Context // of the rotations; ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	secrets map[string]*secret // by name
	events  []Event
	played  map[string]bool // names of quirks
}

// New returns a service without secrets. It must be closed.
func New(options Options) *Server {
	options.Region = cmp.Or(options.Region, "eu-west-1")
	options.Account = cmp.Or(options.Account, "123456789012")
	options.Attempts = cmp.Or(options.Attempts, 3)
	s := &Server{
		Handler: awsjson.New(awsjson.Config{
			SigningName:     "secretsmanager",
			TargetPrefix:    "secretsmanager",
			Region:          options.Region,
			ErrorMember:     "Message",
			ServerError:     "InternalServiceError",
			ResourceMembers: []string{"SecretId", "Name"},
		}),
		options: options,
		secrets: map[string]*secret{},
		played:  map[string]bool{},
	}
	// A server outlives every request and ends with Close.
	s.ctx, s.cancel = context.WithCancel(context.Background())
	awsjson.Register(s.Handler, "CreateSecret", s.createSecret)
	awsjson.Register(s.Handler, "DescribeSecret", s.describeSecret)
	awsjson.Register(s.Handler, "ListSecrets", s.listSecrets)
	awsjson.Register(s.Handler, "GetResourcePolicy", s.getResourcePolicy)
	awsjson.Register(s.Handler, "GetSecretValue", s.getSecretValue)
	awsjson.Register(s.Handler, "PutSecretValue", s.putSecretValue)
	awsjson.Register(s.Handler, "UpdateSecret", s.updateSecret)
	awsjson.Register(s.Handler, "UpdateSecretVersionStage", s.updateSecretVersionStage)
	awsjson.Register(s.Handler, "ListSecretVersionIds", s.listSecretVersionIds)
	awsjson.Register(s.Handler, "RotateSecret", s.rotateSecret)
	awsjson.Register(s.Handler, "CancelRotateSecret", s.cancelRotateSecret)
	return s
}

// Close ends the rotations, in the middle of a step if need be, and waits for them.
func (s *Server) Close() {
	s.Handler.Close()
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.running.Wait()
}

// findUsable is find for operations that are refused for a secret that is marked for deletion.
func (s *Server) findUsable(id string) (*secret, error) {
	sec, err := s.find(id)
	if err == nil && !sec.deleted.IsZero() {
		return nil, awsjson.Errorf("InvalidRequestException",
			"You can't perform this operation on the secret because it was marked for deletion.")
	}
	return sec, err
}

func (s *Server) arn(name, suffix string) string {
	return fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:%s-%s", s.options.Region, s.options.Account, name, suffix)
}

// find returns the secret that id names: its ARN, its ARN without the random suffix, or its name. The caller holds the lock.
func (s *Server) find(id string) (*secret, error) {
	if id == "" || len(id) > 2048 {
		return nil, awsjson.Invalid("at 'secretId'", "have length between 1 and 2048")
	}
	if found, ok := s.secrets[id]; ok {
		return found, nil
	}
	for _, found := range s.secrets {
		if id == found.arn || strings.HasPrefix(id, "arn:") && id == found.arn[:len(found.arn)-len("-123456")] {
			return found, nil
		}
	}
	return nil, awsjson.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

// newSuffix returns the six characters that end an ARN.
func newSuffix() string { return rand.Text()[:6] }
