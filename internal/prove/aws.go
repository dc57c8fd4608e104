package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
)

// onAWS is the Lambda behind Secrets Manager.
type onAWS struct{ binary string }

func (*onAWS) name() string { return "aws" }

func (a *onAWS) build(ctx context.Context, dir string) (err error) {
	a.binary, err = sandboxaws.Build(ctx, dir)
	return err
}

func (*onAWS) pairs() int { return 500 }

func (*onAWS) close() {}

func (*onAWS) quirks() []named {
	return append(quirksOf(onECS, ecs.Quirks()), quirksOf(onSecretsManager, secretsmanager.Quirks())...)
}

func (*onAWS) faults() int { return 2 }

// awsService is one that speaks AWS's JSON protocol.
func awsService(source sandbox.Source) service {
	return service{source: source, identify: identifyAWS, refuse: func(many bool, _ *http.Request) answer {
		code, status := "InternalServiceError", http.StatusInternalServerError
		if source == sandbox.FromECS {
			code = "ServerException"
		}
		if many {
			code, status = "ThrottlingException", http.StatusBadRequest
		}
		body := `{"__type":"` + code + `","Message":"refused","message":"refused"}`
		return answer{status, http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amzn-Errortype": {code}}, []byte(body)}
	}}
}

// identifyAWS leaves out the operator's own calls.
func identifyAWS(request *http.Request, body []byte) identity {
	_, operation, _ := strings.Cut(request.Header.Get("X-Amz-Target"), ".")
	resource := "runner"
	if bytes.Contains(body, []byte("maia-api-credential")) {
		resource = "credential"
	}
	id := identity{name: operation + " " + resource, ignored: operation == "RotateSecret"}
	switch operation {
	case "PutSecretValue", "UpdateSecretVersionStage":
		id.changes = true
	case "UpdateService":
		id.changes, id.begins = true, restarted
	}
	return id
}

// awsWorld is a world of the Lambda.
type awsWorld struct {
	*sandboxaws.World
	wire *wire

	mu     sync.Mutex
	events [][]byte // for which the function was invoked
}

func (w *awsWorld) remember(event []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
}

func (w *awsWorld) remembered() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

func (a *onAWS) open(ctx context.Context, s scenario, w *wire, trace *trace) (world, error) {
	this := &awsWorld{wire: w}
	options := sandboxaws.Options{
		Binary:  a.binary,
		Env:     []string{"MAIA_ROTATE_DRAIN_TIMEOUT=1m"},
		OnEvent: trace.event,
		Wrap: func(source sandbox.Source, next http.Handler) http.Handler {
			if source == sandbox.FromMaia {
				return w.wrap(maiaService(), next)
			}
			return w.wrap(awsService(source), next)
		},
		OnInvoke: func(event []byte) func(error) {
			step := stepOf(event)
			w.enter(step)
			this.remember(event)
			return func(err error) {
				if err == nil && (step == "finishSecret" || step == "heal") {
					trace.succeeded(step, this)
				}
			}
		},
	}
	if s.operator {
		options.Fault, _ = sandboxaws.Faults().Find("paused-by-operator")
	}
	var err error
	if this.World, err = sandboxaws.New(ctx, options); err != nil {
		return nil, err
	}
	w.kill = this.Function.Kill
	if err := this.play(s); err != nil {
		this.Close()
		return nil, err
	}
	return this, nil
}

// play has the services play the quirks of a scenario.
func (w *awsWorld) play(s scenario) error {
	if s.plays(onECS, "sibling-fails") {
		w.AddSibling()
	}
	w.ECS.Hasten(s.hurry(onECS))
	return errors.Join(w.ECS.Play(s.namesFor(onECS)...), w.Secrets.Play(s.namesFor(onSecretsManager)...), w.Maia.Play(s.namesFor(onMaia)...))
}

// stepOf is the step of a rotation, or the action, for which the function is invoked.
func stepOf(event []byte) string {
	var e struct{ Step, Action string }
	if json.Unmarshal(event, &e) != nil || e.Step == "" {
		return e.Action
	}
	return e.Step
}

func (w *awsWorld) rotate(ctx context.Context) error {
	_, err := w.Rotate(ctx)
	return err
}

func (w *awsWorld) heal(ctx context.Context) error { return w.Heal(ctx) }

func (w *awsWorld) due(ctx context.Context) error { return w.rotate(ctx) }

func (w *awsWorld) back() bool { return w.Back() }

func (w *awsWorld) started() int { return w.Started() }

func (w *awsWorld) restarts() (most int) {
	services := map[string]int{}
	for _, call := range w.ECS.Calls() {
		if call.Operation == "UpdateService" && call.Status == http.StatusOK {
			services[call.Resource]++
			most = max(most, services[call.Resource])
		}
	}
	return most
}

func (w *awsWorld) unconfirmed() bool {
	return slices.ContainsFunc(w.Secrets.Versions(w.SecretARN), func(version secretsmanager.Version) bool {
		return slices.ContainsFunc(version.Stages, func(label string) bool { return strings.HasPrefix(label, "maia-rotate/pausing/") })
	})
}

func (w *awsWorld) maia() *sandbox.Maia { return w.Maia }

func (w *awsWorld) proofs() []sandbox.Proof { return w.Proofs() }

func (w *awsWorld) output() []byte { return w.Function.Output() }

func (w *awsWorld) close() { w.Close() }
