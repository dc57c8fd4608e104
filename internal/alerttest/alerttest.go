// Package alerttest gives tests of alerts the lines that a function really writes about a runner.
package alerttest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// Case is what happens in one call of the function.
type Case struct {
	Log     func(io.Writer) *slog.Logger // the function's
	AgentID string
	Target  string        // as the function names it
	Days    int           // since the last rotation
	Every   time.Duration // when the next one is due
	Never   bool          // it was never rotated
	Busy    bool          // another run is at work on it
	Breaks  bool          // the restart does not bring the runner back
	Blind   bool          // the runner's platform cannot be read
}

// Call plays a call: what it writes, line by line, and whether it has failed.
func Call(t *testing.T, c Case) (lines []map[string]any, failed bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := maiatest.New()
		defer server.Close()
		r := &runner{agentID: c.AgentID, server: server, busy: c.Busy, breaks: c.Breaks, blind: c.Blind}
		server.AddAgent(maiatest.AgentSpec{ID: c.AgentID, Name: "runner", ClientID: "id"})
		r.platform.Stored = maia.Credentials{ClientID: "id", ClientSecret: maia.NewSecret(server.LiveSecret(c.AgentID))}
		r.connect()
		fingerprint := r.platform.Stored.ClientSecret.Fingerprint()
		if !c.Never {
			r.platform.Note = rotate.Note{Applied: fingerprint, LastRotation: &rotate.Rotation{At: time.Now().AddDate(0, 0, -c.Days),
				New: fingerprint}}
		}

		policy := rotate.DefaultPolicy()
		policy.Drain, policy.ConnectTimeout, policy.Every = rotate.DrainNone, 20*time.Minute, c.Every
		var out lockedBuffer
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		client := server.Client(t)
		result := fleet.Fleet{Policy: policy, Log: c.Log(&out)}.Run(ctx, []fleet.Target{{Name: c.Target,
			Open: func(context.Context) (fleet.Runner, *rotate.Rotator, error) {
				return r, &rotate.Rotator{Maia: client, Policy: policy}, nil
			}}})
		failed = result.Failed()
		for line := range strings.Lines(out.String()) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			lines = append(lines, fields)
		}
		if r.live != nil {
			r.live.Close()
		}
	})
	return lines, failed
}

// runner is a platform in memory, whose restart brings it back or does not.
type runner struct {
	agentID  string
	server   *maiatest.Server
	busy     bool
	breaks   bool
	blind    bool
	platform rotate.Platform
	live     *maiatest.Instance
}

func (r *runner) AgentID() string                            { return r.agentID }
func (r *runner) StoreTime() time.Duration                   { return rotate.DefaultStoreTime }
func (r *runner) Busy(context.Context) (string, bool, error) { return "another run", r.busy, nil }
func (r *runner) Check(context.Context) error                { return nil }

func (r *runner) Wish(_ context.Context, change func(*rotate.Wishes)) error {
	change(&r.platform.Wishes)
	return nil
}

func (r *runner) Observe(context.Context) (rotate.Platform, error) {
	if r.blind {
		return rotate.Platform{}, errors.New("nobody may read it")
	}
	return r.platform, nil
}

func (r *runner) SaveNote(_ context.Context, note rotate.Note) error {
	r.platform.Note = note
	return nil
}

func (r *runner) Store(_ context.Context, credentials maia.Credentials) error {
	r.platform.Stored, r.platform.Instances.Read = credentials, rotate.ReadOlder
	return nil
}

func (r *runner) Restart(context.Context) ([]string, error) {
	r.platform.Instances = rotate.Instances{State: rotate.Rolling, Read: rotate.ReadCurrent}
	if !r.breaks {
		r.connect()
	}
	return nil, nil
}

func (r *runner) connect() {
	if r.live != nil {
		r.live.Close()
	}
	r.platform.Instances = rotate.Instances{State: rotate.Steady, Read: rotate.ReadCurrent}
	r.live, _ = r.server.Connect(r.agentID, r.platform.Stored.ClientID, r.platform.Stored.ClientSecret.Reveal())
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(text)
}
