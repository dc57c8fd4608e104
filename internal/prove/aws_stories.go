package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// stories implements cloud: invocations that overlap, that are repeated, and one that wakes up when others have done its work.
// A Lambda gets no SIGTERM during an invocation, and a rotation on AWS has no lock: the staging labels keep runs apart.
func (*onAWS) stories() (list []scenario) {
	add := func(name string, story func(context.Context, *awsWorld) error) {
		list = append(list,
			scenario{name: "aws/story/" + name, story: func(ctx context.Context, w world) error { return story(ctx, w.(*awsWorld)) }})
	}
	for _, at := range []struct{ name, step, phase string }{
		{string(maiatest.Pause), "createSecret", ""},
		{string(maiatest.RefreshCredentials), "createSecret", paused},
		{"PutSecretValue runner", "createSecret", refreshed},
		{"UpdateService runner", "finishSecret", refreshed},
		{string(maiatest.Resume), "finishSecret", restarted},
	} {
		for _, runs := range []int{2, 5} {
			name := strings.ReplaceAll(at.name, " ", "-")
			add(fmt.Sprintf("%d-runs-of-one-event@%s", runs, name), func(ctx context.Context, w *awsWorld) error {
				return w.concurrent(ctx, at.name, strings.TrimSpace(at.step+" "+at.phase), runs-1, func() []byte {
					events := w.remembered()
					return events[len(events)-1]
				})
			})
			add(fmt.Sprintf("%d-concurrent-healing-runs@%s", runs-1, name), func(ctx context.Context, w *awsWorld) error {
				return w.concurrent(ctx, at.name, strings.TrimSpace(at.step+" "+at.phase), runs-1, func() []byte { return []byte(`{"action":"heal"}`) })
			})
		}
	}
	add("every-event-once-more-afterwards", func(ctx context.Context, w *awsWorld) error {
		if err := w.rotate(ctx); err != nil {
			return err
		}
		for _, event := range w.remembered() {
			if err := w.Invoke(ctx, event); err != nil {
				return fmt.Errorf("the repeated %s: %w", stepOf(event), err)
			}
		}
		return nil
	})
	for _, at := range []struct {
		what, name, phase string
	}{
		{"before-the-refresh", string(maiatest.GetCredentials), "createSecret " + paused},
		{"after-the-refresh", string(maiatest.RefreshCredentials), "createSecret " + paused},
		{"after-the-store", "PutSecretValue runner", "createSecret " + refreshed},
	} {
		add("wakes-up-"+at.what, func(ctx context.Context, w *awsWorld) error { return w.wakesUp(ctx, at.name, at.phase) })
	}
	return list
}

// concurrent rotates, and at a call of the rotation invokes the function so many more times, all at once.
func (w *awsWorld) concurrent(ctx context.Context, name, phase string, times int, event func() []byte) error {
	var running sync.WaitGroup
	defer running.Wait()
	w.wire.add(&injection{name: name, phase: phase, nth: 1, kind: meanwhile, do: func() {
		for range times {
			invoked := event()
			running.Go(func() { _ = w.Invoke(ctx, invoked) }) // it may be refused: how it all ends is what matters
		}
	}})
	return w.rotate(ctx)
}

// wakesUp rotates, and stops the function's process just before it gets the answer of a call. Another process gets the same
// event and does the work. Then the first one goes on.
func (w *awsWorld) wakesUp(ctx context.Context, name, phase string) error {
	halted, working := make(chan int, 1), make(chan error, 1)
	w.wire.add(&injection{name: name, phase: phase, nth: 1, kind: halts, do: func() {
		ids := w.Function.Processes()
		if len(ids) != 1 {
			working <- fmt.Errorf("the function has %d processes, expected one", len(ids))
			return
		}
		if err := halt(ctx, ids[0]); err != nil {
			working <- err
			return
		}
		halted <- ids[0]
	}})
	go func() {
		select {
		case id := <-halted:
			events := w.remembered()
			_ = w.Invoke(ctx, events[len(events)-1]) // it may be refused
			wake(id)
			working <- nil
		case <-ctx.Done():
			working <- ctx.Err()
		}
	}()
	if err := w.rotate(ctx); err != nil || !w.wire.injected() {
		return err
	}
	return <-working
}
