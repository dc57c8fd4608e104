package rotatetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func TestAGoodPlatformPasses(t *testing.T) { Run(t, platforms(nil)) }

// bent is a Runner of which one method at a time is replaced.
type bent struct {
	rotate.Runner
	observe  func(context.Context) (rotate.Platform, error)
	check    func() error
	saveNote func(context.Context, rotate.Note) error
	store    func(context.Context, maia.Credentials) error
	restart  func(context.Context) ([]string, error)
}

func (b bent) Observe(ctx context.Context) (rotate.Platform, error) {
	if b.observe != nil {
		return b.observe(ctx)
	}
	return b.Runner.Observe(ctx)
}

func (b bent) Check(ctx context.Context) error {
	if b.check != nil {
		return b.check()
	}
	return b.Runner.Check(ctx)
}

func (b bent) SaveNote(ctx context.Context, note rotate.Note) error {
	if b.saveNote != nil {
		return b.saveNote(ctx, note)
	}
	return b.Runner.SaveNote(ctx, note)
}

func (b bent) Store(ctx context.Context, credentials maia.Credentials) error {
	if b.store != nil {
		return b.store(ctx, credentials)
	}
	return b.Runner.Store(ctx, credentials)
}

func (b bent) Restart(ctx context.Context) ([]string, error) {
	if b.restart != nil {
		return b.restart(ctx)
	}
	return b.Runner.Restart(ctx)
}

// locked changes the platform.
func (r *memoryRunner) locked(change func(h *memory)) {
	r.platform.mu.Lock()
	defer r.platform.mu.Unlock()
	change(r.platform)
}

// Every way in which a Runner can be wrong must be found, by a scenario that says what is wrong.
func TestBadRunnersAreFound(t *testing.T) {
	var all []scenario
	all, _ = scenarios(t, platforms(nil), choice{})
	tests := map[string]struct {
		bend  func(r *memoryRunner) rotate.Runner
		found map[string]string // by scenario: what is said
	}{
		"drops the note": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, saveNote: func(context.Context, rotate.Note) error {
					return r.process.Do("note", func() error { return nil })
				}}
			},
			found: map[string]string{
				"contract-SaveNote":            "the same process reads",
				"rotation":                     "refresh was done 4 times in a row without an effect",
				"maia-Pause-01-cut-after-heal": `promise 1 (never lost): after two healing runs the status is "paused"`,
			},
		},
		"keeps the note in the process": {
			bend: func(r *memoryRunner) rotate.Runner {
				var note rotate.Note
				return bent{
					Runner: r,
					saveNote: func(_ context.Context, saved rotate.Note) error {
						note = saved
						return r.process.Do("note", func() error { return nil })
					},
					observe: func(ctx context.Context) (rotate.Platform, error) {
						platform, err := r.Observe(ctx)
						platform.Note = note
						return platform, err
					},
				}
			},
			found: map[string]string{
				"contract-SaveNote":                    "a fresh process reads",
				"maia-RefreshCredentials-01-cut-after": "promise 2 (at most one refresh): 2 refreshes were carried out, want 1",
			},
		},
		"lets two runs note an intent": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, saveNote: func(ctx context.Context, note rotate.Note) error {
					r.locked(func(h *memory) { r.version = h.version })
					return r.SaveNote(ctx, note)
				}}
			},
			found: map[string]string{"contract-SaveNote-of-two-runs": "promise 2 (at most one refresh): SaveNote of an intent next to that of " +
				"another run"},
		},
		"stores in the wrong place": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, store: func(_ context.Context, credentials maia.Credentials) error {
					return r.process.Do("store", func() error { return nil })
				}}
			},
			found: map[string]string{
				"contract-Store-and-Restart": "promise 1 (never lost): Store succeeded, and an instance that starts now would read something else",
				"rotation":                   "promise 5 (success means back): the run ended as",
			},
		},
		"takes a failed store for a success": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, store: func(ctx context.Context, credentials maia.Credentials) error {
					_ = r.Store(ctx, credentials)
					return nil
				}}
			},
			found: map[string]string{"contract-errors": "promise 9 (no failure is swallowed): Store succeeded"},
		},
		"shows what was stored before": {
			bend: func(r *memoryRunner) rotate.Runner {
				var first *maia.Credentials
				return bent{Runner: r, observe: func(ctx context.Context) (rotate.Platform, error) {
					platform, err := r.Observe(ctx)
					if first == nil {
						first = &platform.Stored
					}
					platform.Stored = *first
					return platform, err
				}}
			},
			found: map[string]string{"contract-Store-and-Restart": "Observe after Store shows something else"},
		},
		"restarts with what was stored before": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, restart: func(context.Context) ([]string, error) {
					return nil, r.process.Do("restart", func() error {
						r.platform.replace(func() string { return r.platform.setup.Secret })
						return nil
					})
				}}
			},
			found: map[string]string{
				"contract-Store-and-Restart": "promise 5 (success means back): after Restart instance 1 of 1 runs with a secret that was revoked",
				"rotation":                   "promise 5 (success means back): the run ended as",
			},
		},
		"says that it restarted": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, restart: func(context.Context) ([]string, error) {
					return nil, r.process.Do("restart", func() error { return nil })
				}}
			},
			found: map[string]string{
				"contract-Store-and-Restart": "promise 5 (success means back): after Restart instance 1 of 1 runs with a secret that was revoked",
				"rotation":                   "promise 1 (never lost): in the end instance 1 of 1 runs with a secret that was revoked",
			},
		},
		"waits for its restart": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, restart: func(ctx context.Context) ([]string, error) {
					defer time.Sleep(2 * time.Minute)
					return r.Restart(ctx)
				}}
			},
			found: map[string]string{"contract-Store-and-Restart": "promise 4 (short downtime): Restart took 2m"},
		},
		"calls always steady what may not be": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, observe: func(ctx context.Context) (rotate.Platform, error) {
					platform, err := r.Observe(ctx)
					platform.Instances.State = rotate.Steady
					return platform, err
				}}
			},
			found: map[string]string{"contract-Restart-that-fails": "promise 5 (success means back): Observe says"},
		},
		"writes the secret into its notes": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, store: func(ctx context.Context, credentials maia.Credentials) error {
					r.locked(func(h *memory) { h.kept += "stored " + credentials.ClientSecret.Reveal()[:16] })
					return r.Store(ctx, credentials)
				}}
			},
			found: map[string]string{"rotation": "promise 7 (nothing leaks): a secret is in what the platform keeps apart from the store"},
		},
		"shows the secret in an error": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, store: func(ctx context.Context, credentials maia.Credentials) error {
					if err := r.Store(ctx, credentials); err != nil {
						return errors.New("cannot store " + credentials.ClientSecret.Reveal())
					}
					return nil
				}}
			},
			found: map[string]string{"store-01-fail-before": "promise 7 (nothing leaks): a secret is in a log, error, report or detail of the " +
				"instances"},
		},
		"changes what is not its own": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, store: func(ctx context.Context, credentials maia.Credentials) error {
					r.locked(func(h *memory) { h.foreign = "another number of replicas" })
					return r.Store(ctx, credentials)
				}}
			},
			found: map[string]string{
				"rotation":                   "promise 8 (only ours): what is not ours was changed",
				"contract-Store-and-Restart": "promise 8 (only ours): Store or Restart has changed what is not ours",
			},
		},
		"restarts when it checks": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, check: func() error { r.platform.Replace(); return nil }}
			},
			found: map[string]string{"contract-Observe-and-Check": "promise 3"},
		},
		"calls past the wire": {
			bend: func(r *memoryRunner) rotate.Runner {
				return bent{Runner: r, store: func(_ context.Context, credentials maia.Credentials) error {
					r.platform.Put(credentials.ClientSecret.Reveal())
					return nil
				}}
			},
			found: map[string]string{"rotation": "no call of store went through the Process"},
		},
	}
	for name, test := range tests {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			for wanted, says := range test.found {
				i := slices.IndexFunc(all, func(s scenario) bool { return s.name == wanted })
				if i < 0 {
					t.Errorf("there is no scenario %s", wanted)
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					failures, story := play(t, platforms(test.bend), all[i])
					if !strings.Contains(strings.Join(failures, "\n"), says) || len(failures) == 0 {
						t.Errorf("%s found\n%s\nwant that it says %q; what happened:\n%s", wanted, strings.Join(failures, "\n"), says, story)
					}
				})
			}
		})
	}
}
