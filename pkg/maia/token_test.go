package maia_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

func TestTokenRequest(t *testing.T) {
	var form url.Values
	client := newClient(t, roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		form, _ = url.ParseQuery(string(body))
		if r.Method != "POST" || r.Header.Get("Authorization") != "" || r.URL.RawQuery != "" {
			t.Errorf("%s %s, %v", r.Method, r.URL, r.Header)
		}
		return answer(200, `{"access_token":"`+apiToken+`"}`), nil
	}))
	if err := client.Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := url.Values{"grant_type": {"client_credentials"}, "client_id": {"api"}, "client_secret": {apiSecret},
		"audience": {"https://api.matillion.com"}}
	if form.Encode() != want.Encode() {
		t.Errorf("sent %v", form)
	}
}

// A token is used until two minutes before it expires, with or without expires_in.
func TestTokenIsCachedAndRenewed(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []maiatest.Option
		good time.Duration
	}{
		{"30 minutes", nil, 28 * time.Minute},
		{"no expires_in", []maiatest.Option{maiatest.WithExpiresIn(false)}, 28 * time.Minute},
		{"an hour", []maiatest.Option{maiatest.WithTokenLifetime(time.Hour)}, 58 * time.Minute},
		{"shorter than the margin", []maiatest.Option{maiatest.WithTokenLifetime(time.Minute)}, 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t, tt.opts...)
				client := fake.Client(t)
				call := func() {
					t.Helper()
					if _, err := client.Agent(t.Context(), agentID); err != nil {
						t.Fatal(err)
					}
				}
				call()
				<-time.After(tt.good - time.Second)
				call()
				if n := count(fake, maiatest.Token); n != 1 {
					t.Errorf("%d tokens, want 1", n)
				}
				<-time.After(time.Second)
				if err := client.Authenticate(t.Context()); err != nil {
					t.Fatal(err)
				}
				call()
				if n := count(fake, maiatest.Token); n != 2 {
					t.Errorf("%d tokens, want 2", n)
				}
			})
		})
	}
}

// The API forgets a token: one fresh one, one more try, for every call, the refresh included.
func TestFreshTokenAfter401(t *testing.T) {
	calls := map[string]func(context.Context, *maia.Client) error{
		"read": func(ctx context.Context, c *maia.Client) error { _, err := c.Credentials(ctx, agentID); return err },
		"refresh": func(ctx context.Context, c *maia.Client) error {
			_, err := c.RefreshCredentials(ctx, agentID)
			return err
		},
		"restart": func(ctx context.Context, c *maia.Client) error { return c.Command(ctx, agentID, maia.CommandRestart) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			var sent, used []string
			tokens := 0
			reject := map[string]bool{}
			client := newClient(t, roundTrip(func(r *http.Request) (*http.Response, error) {
				if isTokenRequest(r) {
					tokens++
					return answer(200, `{"access_token":"token-`+string(rune('0'+tokens))+`"}`), nil
				}
				token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
				used = append(used, token)
				if reject[token] {
					return answer(401, ``), nil
				}
				body := ""
				if r.Body != nil {
					content, _ := io.ReadAll(r.Body)
					body = string(content)
				}
				sent = append(sent, body)
				return answer(200, `{"clientId":"client","clientSecret":"`+secret+`"}`), nil
			}))
			if err := client.Authenticate(t.Context()); err != nil {
				t.Fatal(err)
			}
			reject["token-1"] = true
			if err := call(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			if strings.Join(used, " ") != "token-1 token-2" || len(sent) != 1 || name != "read" && sent[0] == "" {
				t.Errorf("used %v, sent %q", used, sent)
			}
			reject["token-2"], reject["token-3"] = true, true
			err := call(t.Context(), client)
			wantError(t, err, maia.ErrUnauthorized, "MAIA API credential")
			if errors.Is(err, maia.ErrOutcomeUnknown) || strings.Join(used, " ") != "token-1 token-2 token-2 token-3" {
				t.Errorf("used %v, %v", used, err)
			}
		})
	}
}

// A 401 to a token that was fetched for this very call is final.
func Test401WithFreshToken(t *testing.T) {
	fake := newFake(t)
	fake.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Status5xx, Status: 401})
	_, err := fake.Client(t).Agent(t.Context(), agentID)
	wantError(t, err, maia.ErrUnauthorized)
	if n, m := count(fake, maiatest.GetAgent), count(fake, maiatest.Token); n != 1 || m != 1 {
		t.Errorf("%d calls and %d tokens, want one of each", n, m)
	}
}

// The fresh token cannot be had: that is the error, and nothing was refreshed.
func TestNoFreshTokenAfter401(t *testing.T) {
	fake := newFake(t)
	client := fake.Client(t)
	if err := client.Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	fake.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Kind: maiatest.Status5xx, Status: 401})
	fake.Inject(maiatest.Fault{Call: maiatest.Token, Kind: maiatest.Status5xx, Status: 500})
	_, err := client.RefreshCredentials(t.Context(), agentID)
	wantError(t, err, maia.ErrUnavailable, "fetch token")
	if errors.Is(err, maia.ErrOutcomeUnknown) {
		t.Error("is ErrOutcomeUnknown")
	}
}

func TestTokenErrors(t *testing.T) {
	hostile := `"error_description":"` + apiSecret + `","error_uri":"` + apiSecret + `"`
	for _, tt := range []struct {
		name   string
		answer *http.Response
		kind   error
		parts  []string
	}{
		{"401", answer(401, `{"error":"invalid_client",`+hostile+`}`), maia.ErrUnauthorized,
			[]string{"MAIA API credential", "invalid_client", "status 401"}},
		{"400 invalid_client", answer(400, `{"error":"invalid_client",`+hostile+`}`), maia.ErrUnauthorized, []string{"MAIA API credential"}},
		{"400 unauthorized_client", answer(400, `{"error":"unauthorized_client"}`), maia.ErrUnauthorized, nil},
		{"403 access_denied", answer(403, `{"error":"access_denied"}`), maia.ErrUnauthorized, []string{"access_denied"}},
		{"400 invalid_request", answer(400, `{"error":"invalid_request",`+hostile+`}`), maia.ErrRejected, []string{"invalid_request"}},
		{"400 with a secret for a code", answer(400, `{"error":"`+apiSecret+`"}`), maia.ErrRejected, []string{"status 400"}},
		{"400 with a secret like a code", answer(400, `{"error":"some_secret_value"}`), maia.ErrRejected, []string{"status 400"}},
		{"400 HTML", answer(400, apiSecret, "Content-Type", "text/html"), maia.ErrRejected, nil},
		{"400 form", answer(400, "error=invalid_client&x="+apiSecret, "Content-Type", "application/x-www-form-urlencoded"), maia.ErrUnauthorized,
			nil},
		{"404", answer(404, apiSecret), maia.ErrRejected, []string{"check the token URL"}},
		{"500", answer(500, apiSecret), maia.ErrUnavailable, []string{"status 500"}},
		{"redirect", answer(307, apiSecret, "Location", "https://evil.test/"+apiSecret), maia.ErrInvalidReply,
			[]string{"status 307", "evil.test"}},
		{"200 with an error", answer(200, `{"error":"invalid_scope",`+hostile+`}`), maia.ErrInvalidReply, []string{"no token", "invalid_scope"}},
		{"200 HTML", answer(200, `<html>`+apiSecret, "Content-Type", "text/html"), maia.ErrInvalidReply, nil},
		{"200 empty", answer(200, ``), maia.ErrInvalidReply, nil},
		{"no access_token", answer(200, `{"token_type":"Bearer"}`), maia.ErrInvalidReply, nil},
		{"access_token of another type", answer(200, `{"access_token":["`+apiToken+`"]}`), maia.ErrInvalidReply, nil},
		{"expires_in of another type", answer(200, `{"access_token":"x","expires_in":"`+apiToken+`"}`), maia.ErrInvalidReply, nil},
		{"another token_type", answer(200, `{"access_token":"x","token_type":"`+apiToken+`"}`), maia.ErrInvalidReply, []string{"token_type"}},
		{"a token with a line feed", answer(200, `{"access_token":"`+apiToken+`\nX-Evil: 1"}`), maia.ErrInvalidReply,
			[]string{"access_token contains"}},
		{"too large", answer(200, `{"access_token":"`+strings.Repeat(apiToken, 1<<19)+`"}`), maia.ErrInvalidReply,
			[]string{"larger than 1048576 bytes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := newClient(t, roundTrip(func(*http.Request) (*http.Response, error) { return tt.answer, nil }))
			_, err := client.RefreshCredentials(t.Context(), agentID)
			e := wantError(t, err, tt.kind, append(tt.parts, "maia: fetch token")...)
			for _, leak := range []string{apiSecret, apiToken, "some_secret_value"} {
				if strings.Contains(err.Error(), leak) {
					t.Errorf("leaked: %v", err)
				}
			}
			if errors.Is(err, maia.ErrOutcomeUnknown) || e.AgentID != "" {
				t.Errorf("%+v", e)
			}
		})
	}
}

// gate holds token requests until it is opened.
func gated(fake *maiatest.Server, arrived chan<- struct{}, open <-chan struct{}) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if isTokenRequest(r) {
			arrived <- struct{}{}
			select {
			case <-open:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
		return fake.Transport().RoundTrip(r)
	}
}

func TestConcurrentCallersShareOneToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		arrived, open := make(chan struct{}, 100), make(chan struct{})
		client := newClient(t, gated(fake, arrived, open))
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				if _, err := client.Agent(t.Context(), agentID); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(open)
		callers.Wait()
		if len(arrived) != 1 || count(fake, maiatest.GetAgent) != 20 {
			t.Errorf("%d token requests, %d calls", len(arrived), count(fake, maiatest.GetAgent))
		}
	})
}

// The caller who fetches gives up: the others go on, one of them fetching.
func TestCancelledFetchHarmsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		arrived, open := make(chan struct{}, 100), make(chan struct{})
		client := newClient(t, gated(fake, arrived, open))
		leader, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := client.Agent(leader, agentID); !errors.Is(err, context.Canceled) {
				t.Errorf("the leader got %v", err)
			}
		})
		synctest.Wait()
		impatient, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		callers.Go(func() {
			_, err := client.Agent(impatient, agentID)
			wantError(t, err, maia.ErrUnavailable, "fetch token", "no answer in time")
		})
		for range 5 {
			callers.Go(func() {
				if _, err := client.Agent(t.Context(), agentID); err != nil {
					t.Error(err)
				}
			})
		}
		<-time.After(2 * time.Second) // the impatient one is gone
		cancel()
		synctest.Wait()
		close(open)
		callers.Wait()
		if len(arrived) != 2 {
			t.Errorf("%d token requests, want 2", len(arrived))
		}
	})
}

// The caller who fetches has no time to wait as long as Maia asks, or none left while it waits: those who have, wait.
func TestFollowersHaveTheirOwnDeadline(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault maiatest.Fault
		left  time.Duration // the leader's
	}{
		{"429 with a long wait", maiatest.Fault{Kind: maiatest.RateLimited, RetryAfter: "120"}, 10 * time.Second},
		{"429 with a wait", maiatest.Fault{Kind: maiatest.RateLimited, RetryAfter: "10"}, 10 * time.Second},
		{"a backoff", maiatest.Fault{Kind: maiatest.Status5xx}, 100 * time.Millisecond},
		{"a slow answer", maiatest.Fault{Kind: maiatest.Slow, Delay: time.Minute}, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				tt.fault.Call, tt.fault.Nth = maiatest.Token, 1
				fake.Inject(tt.fault)
				arrived, open := make(chan struct{}, 100), make(chan struct{})
				client := newClient(t, gated(fake, arrived, open))
				short, cancel := context.WithTimeout(t.Context(), tt.left)
				defer cancel()
				var callers sync.WaitGroup
				callers.Go(func() { wantError(t, client.Authenticate(short), nil, "fetch token") })
				synctest.Wait()
				for range 5 {
					callers.Go(func() {
						if _, err := client.Agent(t.Context(), agentID); err != nil {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				close(open)
				callers.Wait()
				if n := count(fake, maiatest.Token); n > 3 {
					t.Errorf("%d token requests", n)
				}
			})
		})
	}
}

// Those who wait for a fetch that fails get its error, not a fetch each.
func TestConcurrentCallersShareOneFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		fake.Inject(maiatest.Fault{Call: maiatest.Token, Kind: maiatest.Status5xx, Status: 401})
		arrived, open := make(chan struct{}, 100), make(chan struct{})
		client := newClient(t, gated(fake, arrived, open))
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() { wantError(t, client.Authenticate(t.Context()), maia.ErrUnauthorized) })
		}
		synctest.Wait()
		close(open)
		callers.Wait()
		if len(arrived) != 1 {
			t.Errorf("%d token requests, want 1", len(arrived))
		}
	})
}
