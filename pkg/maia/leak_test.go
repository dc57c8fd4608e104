package maia_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

func wantNoLeak(t testing.TB, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if s != "" && strings.Contains(text, s) {
			t.Errorf("leaked %q: %q", s, text)
		}
	}
}

// dump prints v and all errors below it in every way that code prints things.
func dump(v any) string {
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%x", "%s"} {
		fmt.Fprintf(&out, verb+"\n", v)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
	var e *maia.Error
	if err, ok := v.(error); ok && errors.As(err, &e) {
		fmt.Fprintf(&out, "%+v %#v\n", *e, *e)
		for _, below := range e.Unwrap() {
			fmt.Fprintf(&out, "%v %+v %#v\n", below, below, below)
		}
	}
	return out.String()
}

// Every call, under every fault, and everything that is left to print afterwards: no secret, no token, nowhere.
func TestNothingLeaks(t *testing.T) {
	faults := []maiatest.Fault{
		{}, {Kind: maiatest.DropBefore}, {Kind: maiatest.DropAfter}, {Kind: maiatest.Status5xx}, {Kind: maiatest.Status5xx, Status: 400},
		{Kind: maiatest.Status5xx, Status: 401}, {Kind: maiatest.Status5xx, Status: 403}, {Kind: maiatest.Status5xx, Status: 404},
		{Kind: maiatest.Status5xxAfter}, {Kind: maiatest.RateLimited}, {Kind: maiatest.Redirect, Location: "https://x.test/?s=" + secret},
		{Kind: maiatest.Slow, Delay: time.Hour}, {Kind: maiatest.Late}, {Kind: maiatest.Garbage}, {Kind: maiatest.Truncated},
		{Kind: maiatest.HTML}, {Kind: maiatest.Masked}, {Kind: maiatest.Empty}, {Kind: maiatest.WrongAgent},
		{Kind: maiatest.CustomBody, Body: []byte(`{"clientId":["` + secret + `"],"agentId":["` + secret + `"]}`)},
		{Kind: maiatest.CustomBody, Status: 400, Body: []byte(`{"title":"` + secret + `","error":"` + apiSecret + `"}`)},
	}
	for i, fault := range faults {
		for _, injected := range []maiatest.Name{maiatest.Token, maiatest.GetCredentials, maiatest.RefreshCredentials, maiatest.GetAgent} {
			t.Run(fmt.Sprintf("%d/%s", i, injected), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fake := newFake(t)
					secrets := []string{apiSecret, secret}
					client := newClient(t, roundTrip(func(r *http.Request) (*http.Response, error) {
						secrets = append(secrets, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
						return fake.Transport().RoundTrip(r)
					}))
					fault.Call = injected
					if injected == maiatest.GetAgent && fault.Kind == maiatest.CustomBody && fault.Status == 400 {
						return // titles of calls without secrets are repeated on purpose
					}
					fake.Inject(fault)
					var printed []string
					calls := idempotent(client)
					calls["refresh"] = func(ctx context.Context) error {
						credentials, err := client.RefreshCredentials(ctx, agentID)
						printed = append(printed, dump(credentials), dump(&credentials))
						return err
					}
					for _, call := range calls {
						if err := call(t.Context()); err != nil {
							printed = append(printed, dump(err))
						}
					}
					printed = append(printed, dump(client), dump(*client))
					secrets = append(append(secrets, fake.LiveSecret(agentID)), fake.Revoked(agentID)...)
					for _, text := range printed {
						wantNoLeak(t, text, secrets...)
						for _, s := range secrets {
							wantNoLeak(t, text, fmt.Sprintf("%x", s))
						}
					}
				})
			})
		}
	}
}
