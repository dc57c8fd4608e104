package function_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	agentID = "0b7a1f6e-3d52-4c1b-9a37-2f8f3f5b6c10"
	other   = "ffffffff-3d52-4c1b-9a37-2f8f3f5b6c10"
)

// found is a runner in a region.
type found string

func (found) AgentID() string  { return agentID }
func (f found) Region() string { return string(f) }

func TestARunnersRotator(t *testing.T) {
	for name, test := range map[string]struct {
		agents    []string
		endpoints settings.Endpoints
		region    found
		says      string
	}{
		"any agent":      {region: "eu1"},
		"a listed agent": {agents: []string{other, strings.ToUpper(agentID)}, region: "eu1"},
		"a foreign agent": {[]string{other}, settings.Endpoints{}, "eu1",
			agentID + ", which this function may not serve; what to do: add it to MAIA_AGENT_IDS"},
		"no region":           {says: "the runner's app names no region, and MAIA_REGION is not set"},
		"a region of a cloud": {region: "eu-west-1", says: "is no region of Maia's (eu1, us1, au1)"},
		"a region of a cloud, and a configured one": {endpoints: settings.Endpoints{Region: "eu1"}, region: "eu-west-1",
			says: "set MAIA_API_URL of this function"},
		"two regions": {nil, settings.Endpoints{Region: "us1"}, "eu1", "MAIA_REGION is us1, but that in the runner's app is eu1"},
		"a URL":       {endpoints: settings.Endpoints{APIURL: "https://maia.test"}, region: "eu-west-1"},
	} {
		t.Run(name, func(t *testing.T) {
			rotators := function.Rotators{
				Shared: settings.Shared{AgentIDs: test.agents, Endpoints: test.endpoints, Policy: rotate.DefaultPolicy()},
				Place:  settings.Place{Name: "app", Lacks: "names no region"},
			}
			read := false
			rotator, err := rotators.Of(test.region, func() (maia.Credentials, error) {
				read = true
				return maia.Credentials{ClientID: "id", ClientSecret: maia.NewSecret("secret")}, nil
			}, slog.New(slog.DiscardHandler))
			switch {
			case test.says == "":
				if err != nil || rotator.Maia == nil || rotator.Policy != rotate.DefaultPolicy() || rotator.Log == nil {
					t.Errorf("got %+v, %v", rotator, err)
				}
			case rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), test.says) || read:
				t.Errorf("got %v, expected %s, and no credential read: %t", err, test.says, read)
			}
		})
	}
}

// A client, and with it its token, is kept as long as region and credential are the same.
func TestClientsAreKept(t *testing.T) {
	var rotators function.Rotators
	client := func(region found, id, secret string) any {
		rotator, err := rotators.Of(region, func() (maia.Credentials, error) {
			return maia.Credentials{ClientID: id, ClientSecret: maia.NewSecret(secret)}, nil
		}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return rotator.Maia
	}
	first := client("eu1", "id", "a-secret")
	if client("eu1", "id", "a-secret") != first {
		t.Error("it is made anew")
	}
	for _, another := range []any{client("us1", "id", "a-secret"), client("eu1", "another", "a-secret"),
		client("eu1", "id", "another-secret")} {
		if another == first {
			t.Error("it is kept for another region or credential")
		}
	}
	if _, err := rotators.Of(found("eu1"), func() (maia.Credentials, error) { return maia.Credentials{}, io.ErrUnexpectedEOF },
		nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a credential that cannot be read: %v", err)
	}
}

func TestOneCallWorksAtATime(t *testing.T) {
	var busy function.Busy
	fails := func() error { return io.ErrUnexpectedEOF }
	began, err := busy.Do(func() error {
		if began, err := busy.Do(fails); began || err != nil {
			t.Errorf("a second call began: %t, %v", began, err)
		}
		return nil
	})
	if !began || err != nil {
		t.Errorf("the first call began: %t, %v", began, err)
	}
	began, err = busy.Do(func() error { panic("holds a secret") })
	if typed := rotate.AsError(err, rotate.NotObserved); !began || typed.Kind != rotate.Internal || typed.What != "panic of type string" {
		t.Errorf("one that panics: %t, %v", began, err)
	}
	if began, err = busy.Do(fails); !began || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("one after it: %t, %v", began, err)
	}
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for timeout, want := range map[time.Duration]time.Duration{
			time.Minute: 57 * time.Second, 200 * time.Second: 190 * time.Second, time.Hour: time.Hour - 10*time.Second,
		} {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			for _, end := range []time.Time{function.Deadline(ctx, time.Second), function.Deadline(t.Context(), timeout)} {
				if got := time.Until(end); got != want {
					t.Errorf("of %s there are %s, expected %s", timeout, got, want)
				}
			}
			cancel()
		}
	})
}

func TestTraceID(t *testing.T) {
	for header, want := range map[string]string{
		"00-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-01": "105445aa7843bc8bf206b12000100000", "": "", "00-105445aa": "", "x-x-x-x-x": "",
	} {
		if got := function.TraceID(header); got != want {
			t.Errorf("%q has %q", header, got)
		}
	}
}

func FuzzAbbreviate(f *testing.F) {
	for _, sample := range []string{"", "x", strings.Repeat("é", 100), "x" + strings.Repeat("é", 100), strings.Repeat("x", 100_000)} {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, text string) {
		short := function.Abbreviate(text)
		if len(short) > 210 || utf8.ValidString(text) && !utf8.ValidString(short) ||
			!strings.HasPrefix(text, strings.TrimSuffix(short, "…")) && utf8.ValidString(text) {
			t.Errorf("%q became %q", text, short)
		}
		if len(text) <= 200 && short != text {
			t.Errorf("%q became %q", text, short)
		}
	})
}
