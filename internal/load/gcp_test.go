package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	harness "github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// The delays of a release, about those of the real thing.
const (
	reads    = 400 * time.Millisecond // at the release, the Secret, the Deployment and its pods
	proves   = time.Second            // a dry run of the upgrade, and questions for rights
	notes    = 60 * time.Millisecond
	upgrades = 3 * time.Second
	rollsOut = 40 * time.Second
	leased   = 45 * time.Second
)

// release is a stand-in for a runner's Helm release, with the Lease that is its lock and holds its note.
type release struct {
	account *account
	id      string

	mu        sync.Mutex
	secret    string
	note      rotate.Note
	holder    *opened // of the Lease,
	until     time.Time
	state     rotate.InstanceState
	read      rotate.ReadState
	instance  *maiatest.Instance
	forbidden bool
	broken    bool
}

// opened is the Runner of one call.
type opened struct{ *release }

func (r *opened) AgentID() string { return r.id }

func (r *opened) StoreTime() time.Duration { return rotate.DefaultStoreTime }

func (r *opened) Wish(context.Context, func(*rotate.Wishes)) error { return nil }

// free says that nobody else has the lock.
func (r *opened) free() bool { return r.holder == nil || r.holder == r || time.Now().After(r.until) }

func (r *opened) Busy(ctx context.Context) (string, bool, error) {
	if err := sleep(ctx, notes); err != nil {
		return "", false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return "another", !r.free(), nil
}

func (r *opened) Observe(ctx context.Context) (rotate.Platform, error) {
	if err := sleep(ctx, reads); err != nil {
		return rotate.Platform{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return rotate.Platform{
		Stored:    maia.Credentials{ClientID: clientID, ClientSecret: maia.NewSecret(r.secret)},
		Instances: rotate.Instances{State: r.state, Read: r.read}, Note: r.note,
	}, nil
}

func (r *opened) Check(ctx context.Context) error {
	if err := sleep(ctx, proves); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forbidden {
		return rotate.Errorf(rotate.Permission, "may not patch deployments")
	}
	return nil
}

func (r *opened) SaveNote(ctx context.Context, note rotate.Note) error {
	if err := sleep(ctx, notes); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.free() {
		return rotate.Errorf(rotate.NotReady, "another run has the lock")
	}
	r.holder, r.until, r.note = r, time.Now().Add(time.Hour), note
	return nil
}

func (r *opened) Hold(ctx context.Context, _ time.Duration) error {
	if err := sleep(ctx, notes); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holder != r {
		return rotate.Errorf(rotate.NotReady, "another run has the lock")
	}
	return nil
}

func (r *opened) Release(context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holder == r {
		r.holder = nil
	}
}

func (r *opened) Store(ctx context.Context, credentials maia.Credentials) error {
	if err := sleep(ctx, upgrades); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret, r.read = credentials.ClientSecret.Reveal(), rotate.ReadOlder
	return nil
}

func (r *opened) Restart(ctx context.Context) ([]string, error) {
	if err := sleep(ctx, notes); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read, r.state = rotate.ReadCurrent, rotate.Rolling
	time.AfterFunc(rollsOut, r.rolledOut)
	return nil, nil
}

func (r *release) rolledOut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		r.state = rotate.Failed
		return
	}
	r.state = rotate.Steady
	r.connect()
}

// connect has a new instance log in, in place of the one before.
func (r *release) connect() {
	if r.instance != nil {
		r.instance.Close()
	}
	r.instance, _ = r.account.login(r.id, r.secret)
}

// cluster is the releases, and the function that serves them.
type cluster struct {
	t        *testing.T
	account  *account
	config   rotation.Config
	client   *maia.Client
	releases []*release
	log      io.Writer

	mu     sync.Mutex
	opened []weak.Pointer[opened] // Runners of the call
}

func newCluster(t *testing.T, n int) *cluster {
	a := newAccount(t, n)
	c := &cluster{t: t, account: a, log: io.Discard}
	names := make([]string, n)
	for i, id := range a.ids {
		r := &release{account: a, id: id, secret: a.LiveSecret(id), state: rotate.Steady, read: rotate.ReadUnknown}
		r.connect()
		c.releases = append(c.releases, r)
		names[i] = "projects/p/locations/l/clusters/c/namespaces/" + name(i) + "/releases/runner"
	}
	var err error
	c.config, err = rotation.ParseConfig(a.environ("MAIA_HELM_RELEASES="+strings.Join(names, ","), "MAIA_AGENT_IDS="+strings.Join(a.ids, ",")))
	if err != nil {
		t.Fatal(err)
	}
	// One for all calls, as an instance of the function keeps it.
	c.client, err = c.config.Client("", maia.Config{ClientID: c.config.Credentials.ClientID, ClientSecret: c.config.Credentials.ClientSecret})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const scheduler = 30 * time.Minute // the longest that Cloud Scheduler waits

func (c *cluster) call() (said string, failed bool) {
	ctx, cancel := context.WithTimeout(c.t.Context(), harness.WorkTime(scheduler))
	defer cancel()
	c.opened = nil
	targets := make([]fleet.Target, len(c.releases))
	for i, r := range c.releases {
		targets[i] = fleet.Target{Name: c.config.Releases[i].String(), Open: func(ctx context.Context) (fleet.Runner, *rotate.Rotator, error) {
			if err := sleep(ctx, reads); err != nil {
				return nil, nil, err
			}
			runner := &opened{r}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.opened = append(c.opened, weak.Make(runner))
			return runner, &rotate.Rotator{Maia: c.client, Policy: c.config.Policy, Log: rotation.NewLog(c.log)}, nil
		}}
	}
	result := fleet.Fleet{Policy: c.config.Policy, Log: rotation.NewLog(c.log)}.Run(ctx, targets)
	var text bytes.Buffer
	for _, target := range result.Targets {
		if target.Failed() {
			fmt.Fprintf(&text, "%s: %s\n", target.Target, target.Text())
		}
	}
	if err := json.NewEncoder(io.Discard).Encode(rotation.Answer{Result: result}); err != nil {
		c.t.Error(err)
	}
	return text.String(), result.Failed()
}

func (c *cluster) forbid(i int, forbidden bool) {
	c.releases[i].mu.Lock()
	defer c.releases[i].mu.Unlock()
	c.releases[i].forbidden = forbidden
}

func (c *cluster) breakRestarts(i int, broken bool) {
	c.releases[i].mu.Lock()
	defer c.releases[i].mu.Unlock()
	c.releases[i].broken = broken
}

func (c *cluster) stored(i int) string { return c.releases[i].secret }

func (c *cluster) connected(i int) bool { return c.releases[i].instance.Connected() }

// kept is how many of the last call's Runners something still refers to.
func (c *cluster) kept() (n int) {
	runtime.GC()
	for _, runner := range c.opened {
		if runner.Value() != nil {
			n++
		}
	}
	return n
}

func TestGoogleCloudKeepsNothing(t *testing.T) {
	mustKeepNothing(t, "Google Cloud", func(t *testing.T, n int) (function any) {
		c := newCluster(t, n)
		c.call()
		return c.client
	})
}

func TestGoogleCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, size(60))
		play(t, "Google Cloud", c.account, c, &timer{every: 30 * time.Minute, again: time.Minute, retries: 1})
		if len(c.opened) == 0 || c.kept() > 0 {
			t.Errorf("of %d runners of a call %d are kept", len(c.opened), c.kept())
		}
	})
}
