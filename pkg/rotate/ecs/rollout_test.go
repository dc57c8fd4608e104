package ecs_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

func (c *cloud) play(names ...string) {
	c.t.Helper()
	if err := c.services.Play(names...); err != nil {
		c.t.Fatal(err)
	}
}

// restart stores another value and orders a restart, which it notes as the engine does.
func (c *cloud) restart(runner *ecs.Runner) {
	c.t.Helper()
	if err := runner.Store(c.t.Context(), second); err != nil {
		c.t.Fatal(err)
	}
	c.note(runner)
}

// note restarts the services and notes what was ordered.
func (c *cloud) note(runner *ecs.Runner) {
	c.t.Helper()
	ids, err := runner.Restart(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	note := c.observe(runner).Note
	note.Ordered = &rotate.Order{At: time.Now().UTC().Truncate(time.Millisecond), For: second.ClientSecret.Fingerprint(), IDs: ids}
	if err := runner.SaveNote(c.t.Context(), note); err != nil {
		c.t.Fatal(err)
	}
}

// updates is how many deployments were ordered by UpdateService.
func (c *cloud) updates() (n int) {
	for _, call := range c.services.Calls() {
		if call.Operation == "UpdateService" && call.Status == http.StatusOK {
			n++
		}
	}
	return n
}

func TestAnOrderIsKnownToALaterProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		c.service("runner-b")
		time.Sleep(time.Hour)
		runner, _ := c.runner()
		c.restart(runner)
		for _, after := range []time.Duration{0, 10 * time.Second, 50 * time.Second, 25 * time.Minute} {
			time.Sleep(after)
			c.label("foreign-" + after.String()) // moves LastChangedDate
			later, platform := c.runner()
			if platform.Instances.Read != rotate.ReadCurrent {
				t.Errorf("after %s: %+v", after, platform.Instances)
			}
			if _, err := later.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		c.services.Deploy("matillion", "runner") // by an operator: newer, and so it reads the same
		if _, platform := c.runner(); platform.Instances.Read != rotate.ReadCurrent {
			t.Errorf("after a newer deployment: %+v", platform.Instances)
		}
		if got := c.updates(); got != 2 {
			t.Errorf("%d restarts were ordered, want one of each service", got)
		}
		// A caller that still asks for a restart has given up the one that was ordered long ago.
		time.Sleep(40 * time.Minute)
		later, _ := c.runner()
		if _, err := later.Restart(t.Context()); err != nil || c.updates() != 4 {
			t.Errorf("%d restarts were ordered, want two of each service; error %v", c.updates(), err)
		}
	})
}

func TestAnOrderForAnotherValueCountsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		time.Sleep(time.Hour)
		runner, _ := c.runner()
		c.restart(runner)
		time.Sleep(time.Hour)
		c.secrets.Put(c.arn, strings.ReplaceAll(value, "first", "third"))
		if _, platform := c.runner(); platform.Instances.Read != rotate.ReadOlder {
			t.Errorf("%+v", platform.Instances)
		}
	})
}

func TestAnOrderThatDoesNotShowYetIsRolling(t *testing.T) {
	for _, quirk := range []string{"lag-5s", "lag-30s", "lag-back"} {
		t.Run(quirk, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t)
				c.service("runner")
				c.play(quirk)
				time.Sleep(time.Hour)
				runner, _ := c.runner()
				c.restart(runner)
				later, _ := c.runner()
				for range 20 {
					for _, r := range []*ecs.Runner{runner, later} {
						platform := c.observe(r)
						if platform.Instances.Read != rotate.ReadCurrent || platform.Instances.State != rotate.Rolling &&
							platform.Instances.State != rotate.Short {
							t.Fatalf("%+v", platform.Instances)
						}
					}
					time.Sleep(time.Second)
				}
				time.Sleep(time.Minute)
				if platform := c.observe(later); platform.Instances.State != rotate.Steady || platform.Instances.Read != rotate.ReadCurrent {
					t.Errorf("in the end %+v", platform.Instances)
				}
			})
		})
	}
}

// What never shows is not waited for for ever: after two minutes what is shown counts.
func TestAnOrderThatNeverShowsIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		time.Sleep(time.Hour)
		runner, _ := c.runner()
		if err := runner.Store(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		ordered := rotate.Order{At: time.Now().UTC().Truncate(time.Millisecond), For: second.ClientSecret.Fingerprint(), IDs: []string{"1"}}
		if err := runner.SaveNote(t.Context(), rotate.Note{Ordered: &ordered}); err != nil {
			t.Fatal(err)
		}
		if _, platform := c.runner(); platform.Instances.State != rotate.Rolling || platform.Instances.Read != rotate.ReadCurrent {
			t.Errorf("at first %+v", platform.Instances)
		}
		time.Sleep(2 * time.Minute)
		if _, platform := c.runner(); platform.Instances.State != rotate.Steady || platform.Instances.Read != rotate.ReadOlder {
			t.Errorf("after two minutes %+v", platform.Instances)
		}
	})
}

func TestEveryServiceIsTriedAndALaterRunRestartsOnlyThoseThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		for _, name := range []string{"a", "b", "c", "d"} {
			c.service(name)
		}
		time.Sleep(time.Hour)
		runner, _ := c.runner()
		if err := runner.Store(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		refuse := func(service string, kind wire.Kind) func() {
			return c.services.Inject(wire.Fault{Operation: "UpdateService", Kind: kind,
				Match: func(raw []byte) bool { return strings.Contains(string(raw), service) }})
		}
		allow := []func(){refuse(`matillion/a"`, wire.AccessDenied), refuse(`matillion/c"`, wire.Throttle)}
		ids, err := runner.Restart(t.Context())
		if len(ids) != 2 || rotate.KindOf(err) != rotate.Permission {
			t.Errorf("IDs %v, error %v", ids, err)
		}
		for _, says := range []string{"UpdateService matillion/a: AccessDenied", "UpdateService matillion/c: Throttling",
			"ecs:UpdateService on matillion/a"} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("error %v, want one that says %s", err, says)
			}
		}
		note := rotate.Note{Ordered: &rotate.Order{At: time.Now().UTC().Truncate(time.Millisecond),
			For: second.ClientSecret.Fingerprint(), IDs: ids}}
		if err := runner.SaveNote(t.Context(), note); err != nil {
			t.Fatal(err)
		}
		for _, allow := range allow {
			allow()
		}
		later, platform := c.runner()
		if platform.Instances.Read == rotate.ReadCurrent {
			t.Errorf("two of four were restarted: %+v", platform.Instances)
		}
		all, err := later.Restart(t.Context())
		if err != nil || len(all) != 4 || c.updates() != 4 || !slices.Contains(all, ids[0]) || !slices.Contains(all, ids[1]) {
			t.Errorf("IDs %v of %v, %d updates, error %v", all, ids, c.updates(), err)
		}
	})
}

// More services than the IDs of which fit into one label of 256 characters.
func TestAnOrderOfManyServicesIsSpreadOverLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		for i := range 23 {
			c.service("runner-" + string(rune('a'+i)))
		}
		time.Sleep(time.Hour)
		runner, _ := c.runner()
		if err := runner.Check(t.Context()); err != nil {
			t.Error(err)
		}
		c.restart(runner)
		if labels := slices.DeleteFunc(c.labels(), func(l string) bool { return !strings.Contains(l, "/ordered/") }); len(labels) != 3 {
			t.Errorf("labels %v", labels)
		}
		later, platform := c.runner()
		if len(platform.Note.Ordered.IDs) != 23 || platform.Instances.Read != rotate.ReadCurrent {
			t.Errorf("%d IDs, %+v", len(platform.Note.Ordered.IDs), platform.Instances)
		}
		if err := later.SaveNote(t.Context(), platform.Note); err != nil {
			t.Error(err)
		}
		if again := c.observe(later).Note; !again.Equal(platform.Note) {
			t.Errorf("the note became %+v", again)
		}
	})
}

func TestMoreServicesThanCanBeNotedAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		for i := range 45 {
			c.service("runner-" + string(rune('A'+i)))
		}
		runner, _ := c.runner()
		if err := runner.Check(t.Context()); rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), "staging labels") {
			t.Errorf("error %v", err)
		}
	})
}

func TestAServiceThatIsBeingDeletedIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		c.play("draining-sibling")
		time.Sleep(time.Hour)
		runner, platform := c.runner(func(config *ecs.Config) {
			config.Clusters, config.Services = nil, []ecs.ServiceRef{{Cluster: "matillion", Service: "runner-old"},
				{Cluster: "matillion", Service: "runner"}}
		})
		if platform.Instances.State != rotate.Steady || !slices.Equal(runner.LeftOut(), []string{"service matillion/runner-old is DRAINING"}) ||
			!strings.Contains(platform.Instances.Detail, "runner-old is DRAINING and left out") ||
			!slices.Equal(runner.Services(), []string{"matillion/runner"}) {
			t.Errorf("%+v, left out %v, services %v", platform.Instances, runner.LeftOut(), runner.Services())
		}
		c.restart(runner)
		if got := c.updates(); got != 1 {
			t.Errorf("%d restarts", got)
		}
	})
}

func TestDeploymentsThatCannotMoveAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		spec ecsemulator.ServiceSpec
		says string // empty: it can
	}{
		"defaults": {ecsemulator.ServiceSpec{DesiredCount: 1}, ""},
		"100, 50 of 1": {ecsemulator.ServiceSpec{DesiredCount: 1, MaximumPercent: aws.Int(100),
			MinimumHealthyPercent: aws.Int(50)}, "maximumPercent 100 and minimumHealthyPercent 50 of 1 tasks"},
		"100, 50 of 2": {ecsemulator.ServiceSpec{DesiredCount: 2, MaximumPercent: aws.Int(100), MinimumHealthyPercent: aws.Int(50)}, ""},
		"100, 100": {ecsemulator.ServiceSpec{DesiredCount: 3, MaximumPercent: aws.Int(100),
			MinimumHealthyPercent: aws.Int(100)}, "maximumPercent 100 and minimumHealthyPercent 100 of 3 tasks"},
		"150, 100 of 1":         {ecsemulator.ServiceSpec{DesiredCount: 1, MaximumPercent: aws.Int(150)}, "maximumPercent 150"},
		"150, 100 of 2":         {ecsemulator.ServiceSpec{DesiredCount: 2, MaximumPercent: aws.Int(150)}, ""},
		"100, 0":                {ecsemulator.ServiceSpec{DesiredCount: 1, MaximumPercent: aws.Int(100), MinimumHealthyPercent: aws.Int(0)}, ""},
		"the vendor's template": {ecsemulator.ServiceSpec{DesiredCount: 1, MinimumHealthyPercent: aws.Int(50)}, ""},
		"a daemon":              {ecsemulator.ServiceSpec{DesiredCount: 1, Daemon: true}, ""},
		"a daemon, 100": {ecsemulator.ServiceSpec{DesiredCount: 2, Daemon: true, MinimumHealthyPercent: aws.Int(100)},
			"maximumPercent 100 and minimumHealthyPercent 100"},
		"a daemon, 50 of 1": {ecsemulator.ServiceSpec{DesiredCount: 1, Daemon: true, MinimumHealthyPercent: aws.Int(50)},
			"minimumHealthyPercent 50 of 1"},
		"a daemon, 200 and 100": {ecsemulator.ServiceSpec{DesiredCount: 1, Daemon: true, MaximumPercent: aws.Int(200),
			MinimumHealthyPercent: aws.Int(100)}, ""},
		"blue/green": {ecsemulator.ServiceSpec{DesiredCount: 1, Strategy: "BLUE_GREEN"}, "has the deployment strategy BLUE_GREEN"},
		"linear":     {ecsemulator.ServiceSpec{DesiredCount: 1, Strategy: "LINEAR"}, "has the deployment strategy LINEAR"},
		"canary":     {ecsemulator.ServiceSpec{DesiredCount: 1, Strategy: "CANARY"}, "has the deployment strategy CANARY"},
		"rolling":    {ecsemulator.ServiceSpec{DesiredCount: 1, Strategy: "ROLLING"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t)
				c.service("sibling")
				test.spec.Cluster, test.spec.Name, test.spec.TaskDefinition = "matillion", "runner", "sibling"
				c.services.CreateService(test.spec)
				runner, _ := c.runner()
				for _, err := range []error{runner.Check(t.Context()), runner.CanMove()} {
					if test.says == "" && err != nil || test.says != "" &&
						(rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), test.says)) {
						t.Errorf("error %v, want one that says %q", err, test.says)
					}
				}
			})
		})
	}
}

func TestDetailQuotesTheNewestEventOfARolloutThatIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		if _, platform := c.runner(); strings.Contains(platform.Instances.Detail, "event") {
			t.Errorf("a steady service: %s", platform.Instances.Detail)
		}
		c.play("cannot-move")
		c.services.Deploy("matillion", "runner")
		time.Sleep(time.Hour)
		if _, platform := c.runner(); !strings.Contains(platform.Instances.Detail,
			`ECS's newest event: "(service runner) was unable to stop or start tasks during a deployment`) {
			t.Errorf("one that cannot move: %s", platform.Instances.Detail)
		}
	})
}
