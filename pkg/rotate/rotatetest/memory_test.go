package rotatetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// memory is a platform in memory, as small as one can be: a store, one instance, and a note with a version.
type memory struct {
	setup Setup
	bend  func(*memoryRunner) rotate.Runner // what is wrong with the Runner; nil: nothing

	mu      sync.Mutex
	secret  string // stored …
	stored  time.Time
	note    rotate.Note // … and noted, …
	wishes  rotate.Wishes
	version int // … so many times
	state   rotate.InstanceState
	read    time.Time // when the newest instance was ordered to start, and so reads the store
	stop    func()
	breaks  int
	foreign string
	kept    string
}

// memories makes memories whose Runners are bent.
func platforms(bend func(*memoryRunner) rotate.Runner) func(*testing.T, Setup) Platform {
	return func(t *testing.T, setup Setup) Platform {
		h := &memory{setup: setup, bend: bend, secret: setup.Secret, stored: time.Now(), state: rotate.Steady, read: time.Now()}
		h.stop, _ = setup.Start(setup.ClientID, setup.Secret)
		t.Cleanup(func() { h.stop() })
		return h
	}
}

func (h *memory) Runner(_ context.Context, process *Process) (rotate.Runner, error) {
	runner := &memoryRunner{platform: h, process: process}
	if h.bend != nil {
		return h.bend(runner), nil
	}
	return runner, nil
}

func (h *memory) Stored() maia.Credentials {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maia.Credentials{ClientID: h.setup.ClientID, ClientSecret: maia.NewSecret(h.secret)}
}

func (h *memory) Put(secret string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secret, h.stored = secret, time.Now()
}

func (h *memory) Replace() { h.replace(func() string { return h.Stored().ClientSecret.Reveal() }) }

// replace starts a new instance with what read gives, and then stops the old one.
func (h *memory) replace(read func() string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	broken := h.breaks > 0
	h.breaks--
	h.state, h.read = rotate.Rolling, time.Now()
	time.AfterFunc(2500*time.Millisecond, func() {
		secret := read()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.state = rotate.Failed; broken {
			return
		}
		h.stop()
		h.state = rotate.Steady
		h.stop, _ = h.setup.Start(h.setup.ClientID, secret)
	})
}

func (h *memory) BreakRestarts(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.breaks = n
}

func (h *memory) Kept() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprint(describe(h.note), h.kept)
}

func (h *memory) Foreign() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.foreign
}

// memoryRunner is the Runner of one process.
type memoryRunner struct {
	platform *memory
	process  *Process
	version  int  // of the note, as last seen
	ordered  bool // a restart, which reads what is stored
	covered  bool // another process has ordered it, as the note says
}

func (r *memoryRunner) AgentID() string { return r.platform.setup.AgentID }

func (r *memoryRunner) StoreTime() time.Duration { return rotate.DefaultStoreTime }

func (r *memoryRunner) Observe(context.Context) (seen rotate.Platform, err error) {
	h := r.platform
	err = r.process.Do("read", func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		seen = rotate.Platform{
			Stored:    maia.Credentials{ClientID: h.setup.ClientID, ClientSecret: maia.NewSecret(h.secret)},
			Instances: rotate.Instances{State: h.state, Read: rotate.ReadUnknown, Detail: "one instance"},
			Note:      h.note, Wishes: h.wishes,
		}
		noted := h.note.Ordered
		r.covered = noted != nil && noted.For == fingerprint(h.secret) && !h.read.Before(h.stored) && h.state != rotate.Failed
		switch {
		case r.ordered, r.covered:
			seen.Instances.Read = rotate.ReadCurrent
		case h.read.Before(h.stored):
			seen.Instances.Read = rotate.ReadOlder
		}
		r.version = h.version
		return nil
	})
	return seen, err
}

func (r *memoryRunner) Check(context.Context) error {
	return r.process.Do("check", func() error { return nil })
}

func (r *memoryRunner) SaveNote(_ context.Context, note rotate.Note) error {
	h := r.platform
	return r.process.Do("note", func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.version != r.version && !h.note.Equal(note) {
			return rotate.Errorf(rotate.NotReady, "another run has changed the note")
		}
		h.version++
		h.note, r.version = note, h.version
		return nil
	})
}

func (r *memoryRunner) Store(_ context.Context, credentials maia.Credentials) error {
	return r.process.Do("store", func() error {
		r.ordered, r.covered = false, false
		r.platform.Put(credentials.ClientSecret.Reveal())
		return nil
	})
}

func (r *memoryRunner) Restart(context.Context) ([]string, error) {
	if r.covered {
		return nil, nil
	}
	return nil, r.process.Do("restart", func() error {
		r.ordered = true
		r.platform.Replace()
		return nil
	})
}

func (h *memory) Wish(wishes rotate.Wishes) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wishes = wishes
	return nil
}
