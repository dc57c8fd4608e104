package ecs_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// lonely are the versions that have a label of ours and none of AWS's.
func (c *cloud) lonely() (ids []string) {
	for _, version := range c.secrets.Versions(c.arn) {
		ours := slices.ContainsFunc(version.Stages, func(s string) bool { return strings.HasPrefix(s, "maia-rotate/") })
		aws := slices.ContainsFunc(version.Stages, func(s string) bool { return strings.HasPrefix(s, "AWS") })
		if ours && !aws {
			ids = append(ids, version.ID)
		}
	}
	return ids
}

// What another writer stores between our read and our change stays, and the next read finds it.
func TestPromise8AValueThatAnotherWriterStoresMeanwhileStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		runner, _ := c.runner()
		edited := strings.Replace(value, "{", `{"note":"edited",`, 1)
		c.secrets.Inject(wire.Fault{Operation: "UpdateSecretVersionStage", Nth: 1, Before: func() { c.secrets.Put(c.arn, edited) }})
		err := runner.Store(t.Context(), second)
		if rotate.KindOf(err) != rotate.NotReady || !strings.Contains(err.Error(), "AWSCURRENT of secret") {
			t.Errorf("error %v", err)
		}
		if c.current() != edited {
			t.Errorf("AWSCURRENT is %s, want the other's", c.current())
		}
		c.observe(runner)
		if err := runner.Store(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if got, want := c.current(), strings.ReplaceAll(edited, "first", "second"); got != want {
			t.Errorf("AWSCURRENT is %s, want %s", got, want)
		}
		if err := runner.SaveNote(t.Context(), rotate.Note{Applied: "aaaaaaaaaaaa"}); err != nil {
			t.Fatal(err)
		}
		if lonely := c.lonely(); len(lonely) > 0 {
			t.Errorf("the versions %v have a label of ours only", lonely)
		}
	})
}

// A process that is killed between the two calls leaves a version that the next one moves on to AWSCURRENT; nothing stays behind.
func TestAStoreThatWasCutOffIsGoneOnWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		runner, _ := c.runner()
		allow := c.secrets.Inject(wire.Fault{Operation: "UpdateSecretVersionStage", Kind: wire.Status5xx})
		if err := runner.Store(t.Context(), second); err == nil || c.current() != value || len(c.lonely()) != 1 {
			t.Fatalf("error %v, versions %v", err, c.secrets.Versions(c.arn))
		}
		allow()
		time.Sleep(time.Hour)
		next, _ := c.runner()
		if err := next.Store(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if got, want := c.current(), strings.ReplaceAll(value, "first", "second"); got != want || len(c.secrets.Versions(c.arn)) != 2 {
			t.Errorf("AWSCURRENT is %s of %d versions", got, len(c.secrets.Versions(c.arn)))
		}
		if err := next.SaveNote(t.Context(), rotate.Note{Applied: "aaaaaaaaaaaa"}); err != nil {
			t.Fatal(err)
		}
		if labels := c.labels(); len(labels) != 1 {
			t.Errorf("labels %v", labels)
		}
	})
}

// A move whose answer is lost, and which the SDK repeats, is a success.
func TestAMoveThatHasComeThroughIsASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		runner, _ := c.runner()
		c.secrets.Inject(wire.Fault{Operation: "UpdateSecretVersionStage", Nth: 1, Kind: wire.DropAfter})
		if err := runner.Store(t.Context(), second); err != nil {
			t.Fatal(err)
		}
	})
}

func TestASecretThatIsMarkedForDeletionIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		runner, _ := c.runner()
		c.secrets.MarkForDeletion(c.arn)
		err := observe(runner, c)
		if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), "restore-secret --secret-id "+c.arn) {
			t.Errorf("error %v", err)
		}
	})
}
