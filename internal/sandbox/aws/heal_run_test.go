package aws

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/sandbox/sandboxtest"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// The conformance suite cuts off runs that do it all in one go, outside of a rotation of Secrets Manager. What such a run
// leaves depends only on how many of its changes were made: it is cut off before and after each of them.
func TestTheCompiledFunctionHealsWhatACutOffRunLeaves(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiled function takes minutes")
	}
	t.Parallel()
	binary, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const changes = 20 // of such a run, see no-change-is-left-out
	t.Logf("figure: states, changes of a run before and after which it was cut off, healed: %d", changes)
	for n := range changes {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("change-%02d-after-%t", n+1, after), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				world, err := New(ctx, Options{
					Binary: binary, OnEvent: sandboxtest.LogIfFailed(t), Env: []string{"MAIA_ROTATE_DRAIN_TIMEOUT=5s", "MAIA_ROTATE_CONNECT_TIMEOUT=10s"},
				})
				if err != nil {
					t.Fatal(err)
				}
				defer world.Close()
				world.Secrets.EnableRotation(world.SecretARN, functionARN)
				mortal := &mortal{next: http.DefaultTransport.(*http.Transport).Clone(), dies: n + 1, after: after}
				if made := world.runAlone(ctx, t, mortal); made < n+1 {
					t.Fatalf("the run made only %d changes", made)
				}
				ended := time.Now()
				refreshes := world.Refreshes()
				world.mustHeal(ctx, t, ended.Add(untilResumed))
				if world.Refreshes() != refreshes {
					t.Error("healing has refreshed")
				}
			})
		}
	}
	t.Run("no-change-is-left-out", func(t *testing.T) {
		t.Parallel()
		world, err := New(t.Context(), Options{Binary: binary})
		if err != nil {
			t.Fatal(err)
		}
		defer world.Close()
		if made := world.runAlone(t.Context(), t, &mortal{next: http.DefaultTransport.(*http.Transport).Clone()}); made != changes {
			t.Errorf("a run makes %d changes, and %d are tested", made, changes)
		}
	})
}

// mortal is the connection of a process that dies at a change: from then on nothing gets through.
type mortal struct {
	next  *http.Transport
	dies  int  // at which change, from 1; 0 is never
	after bool // it was carried out

	mu      sync.Mutex
	changes int
	dead    bool
}

var errDead = errors.New("the process is dead")

func (m *mortal) RoundTrip(request *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(request.Header.Get("X-Amz-Target"), ".")
	change := slices.Contains([]string{"PutSecretValue", "UpdateSecretVersionStage", "UpdateService"}, operation) ||
		operation == "" && request.Method == http.MethodPost && !strings.HasSuffix(request.URL.Path, "/token")
	m.mu.Lock()
	if change && !m.dead {
		m.changes++
	}
	injected := change && m.changes == m.dies
	dead := m.dead || injected && !m.after
	m.dead = m.dead || injected
	m.mu.Unlock()
	if dead {
		return nil, errDead
	}
	response, err := m.next.RoundTrip(request)
	if injected && err == nil {
		_ = response.Body.Close()
		return nil, errDead
	}
	return response, err
}

// runAlone rotates in this process, until it dies, and returns how many changes it made.
func (w *World) runAlone(ctx context.Context, t *testing.T, mortal *mortal) int {
	t.Helper()
	defer mortal.next.CloseIdleConnections()
	config := aws.Config{
		Region: awsRegion, Credentials: credentials.NewStaticCredentialsProvider("sandbox", "sandbox", ""),
		HTTPClient: &http.Client{Transport: mortal}, RetryMaxAttempts: 1,
	}
	runner, err := ecs.Discover(ctx,
		awssecrets.NewFromConfig(config, func(o *awssecrets.Options) { o.BaseEndpoint = &w.SecretsURL }),
		awsecs.NewFromConfig(config, func(o *awsecs.Options) { o.BaseEndpoint = &w.ECSURL }),
		ecs.Config{SecretARN: w.SecretARN, Clusters: []string{Cluster}})
	if err != nil {
		t.Fatal(err)
	}
	id, secret := w.Maia.APICredential()
	client, err := maia.New(maia.Config{
		APIURL: maiatest.APIURL(w.Maia.URL), TokenURL: maiatest.TokenURL(w.Maia.URL),
		ClientID: id, ClientSecret: maia.NewSecret(secret), HTTPClient: &http.Client{Transport: mortal},
	})
	if err != nil {
		t.Fatal(err)
	}
	// What is left of a dead run ends with its time.
	ctx, cancel := context.WithTimeout(ctx, 100*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		policy := rotate.DefaultPolicy()
		policy.DrainTimeout, policy.ConnectTimeout = 5*time.Second, 10*time.Second
		_, _ = (&rotate.Rotator{Maia: client, Policy: policy}).Run(ctx, runner, rotate.Rotate)
	}()
	for {
		select {
		case <-done:
		case <-time.After(20 * time.Millisecond):
			mortal.mu.Lock()
			dead := mortal.dead
			mortal.mu.Unlock()
			if !dead {
				continue
			}
		}
		cancel()
		<-done
		mortal.mu.Lock()
		defer mortal.mu.Unlock()
		return mortal.changes
	}
}
