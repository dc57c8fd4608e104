package azure

import (
	"context"
	"flag"
	"os"
	"sync"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/sandboxtest"
)

// worlds is how many of them live at the same time: they mostly wait.
const worlds = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", worlds); err != nil {
		panic(err)
	}
	var err error
	if app.folder, err = os.MkdirTemp("", "maia-rotate-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(app.folder)
	os.Exit(code)
}

var app struct {
	once   sync.Once
	folder string
	err    error
}

// build compiles the function for all tests.
func build(t *testing.T) string {
	t.Helper()
	app.once.Do(func() { app.err = Build(context.WithoutCancel(t.Context()), app.folder) })
	if app.err != nil {
		t.Fatal(app.err)
	}
	return app.folder
}

// TestWorld rotates in a world without a fault and with each of them, with the compiled function.
func TestWorld(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiled function takes minutes")
	}
	t.Parallel()
	folder := build(t)
	sandboxtest.Worlds(t, Faults(), func(ctx context.Context, fault Fault, onEvent func(sandbox.Event)) (*World, error) {
		return New(ctx, Options{App: folder, Fault: fault, OnEvent: onEvent})
	})
}

// TestClose ends a world in the middle of a rotation.
func TestClose(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiled function takes minutes")
	}
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	world, err := New(ctx, Options{App: build(t), OnEvent: func(e sandbox.Event) {
		if e.Name == "paused" {
			cancel()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if world.Call(ctx) {
		t.Error("the call ended well, expected it to be interrupted")
	}
	world.Close() // returns only when the processes have ended
	if err := world.Host.Ready(t.Context()); err == nil {
		t.Error("the function can be called after Close")
	}
	world.Close()
}

func TestNewFails(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiled function takes minutes")
	}
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, Options{App: build(t)}); err == nil {
		t.Error("a world was made in a context that had ended")
	}
	if _, err := New(t.Context(), Options{App: t.TempDir()}); err == nil {
		t.Error("a world was made without a function")
	}
}

func TestBuildFails(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := Build(t.Context(), t.TempDir()); err == nil {
		t.Error("the function was built outside of the module")
	}
}
