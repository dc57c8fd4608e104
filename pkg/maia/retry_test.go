package maia_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// idempotent are the calls that may be repeated whatever became of them.
func idempotent(client *maia.Client) map[maiatest.Name]func(context.Context) error {
	return map[maiatest.Name]func(context.Context) error{
		maiatest.ListAgents:     func(ctx context.Context) error { _, err := client.Agents(ctx); return err },
		maiatest.GetAgent:       func(ctx context.Context) error { _, err := client.Agent(ctx, agentID); return err },
		maiatest.GetCredentials: func(ctx context.Context) error { _, err := client.Credentials(ctx, agentID); return err },
		maiatest.Token:          client.Authenticate,
	}
}

// Each idempotent call survives four failures of any passing kind, and gives up at the fifth.
func TestRetries(t *testing.T) {
	for _, fault := range []struct {
		name  string
		fault maiatest.Fault
		kind  error
	}{
		{"429", maiatest.Fault{Kind: maiatest.RateLimited}, maia.ErrRateLimited},
		{"502", maiatest.Fault{Kind: maiatest.Status5xx, Status: 502}, maia.ErrUnavailable},
		{"503", maiatest.Fault{Kind: maiatest.Status5xx}, maia.ErrUnavailable},
		{"504 after", maiatest.Fault{Kind: maiatest.Status5xxAfter, Status: 504}, maia.ErrUnavailable},
		{"dropped before", maiatest.Fault{Kind: maiatest.DropBefore}, maia.ErrUnavailable},
		{"dropped after", maiatest.Fault{Kind: maiatest.DropAfter}, maia.ErrUnavailable},
		{"no answer in time", maiatest.Fault{Kind: maiatest.Slow, Delay: time.Hour}, maia.ErrUnavailable},
	} {
		for name := range idempotent(nil) {
			t.Run(fault.name+"/"+string(name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fake := newFake(t)
					for nth := 1; nth <= 9; nth++ {
						f := fault.fault
						f.Call, f.Nth = name, nth
						fake.Inject(f)
					}
					client := fake.Client(t)
					err := idempotent(client)[name](t.Context())
					wantError(t, err, fault.kind)
					if errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%v: is taken for the caller's deadline", err)
					}
					if got := count(fake, name); got != 5 {
						t.Errorf("%d attempts before it gave up, want 5", got)
					}
					if err := idempotent(client)[name](t.Context()); err != nil {
						t.Errorf("the fifth attempt should have worked: %v", err)
					}
					if got := count(fake, name); got != 10 {
						t.Errorf("%d attempts in all, want 10", got)
					}
				})
			})
		}
	}
}

// A connection that breaks in the middle of an answer is a connection error.
func TestRetriesBrokenAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		fake.Inject(maiatest.Fault{Call: maiatest.GetCredentials, Nth: 1, Kind: maiatest.Truncated})
		fake.Inject(maiatest.Fault{Call: maiatest.Token, Nth: 1, Kind: maiatest.Truncated})
		got, err := fake.Client(t).Credentials(t.Context(), agentID)
		if err != nil || got.ClientSecret.Reveal() != secret {
			t.Errorf("%+v, %v", got, err)
		}
		if n, m := count(fake, maiatest.GetCredentials), count(fake, maiatest.Token); n != 2 || m != 2 {
			t.Errorf("%d reads and %d tokens, want 2 and 2", n, m)
		}
	})
}

// What will not go away is not tried again.
func TestDoesNotRetry(t *testing.T) {
	for _, status := range []int{400, 403, 404, 408, 409, 500, 501} {
		fake := newFake(t)
		fake.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Status5xx, Status: status})
		_, err := fake.Client(t).Agent(t.Context(), agentID)
		wantError(t, err, nil)
		if n := count(fake, maiatest.GetAgent); n != 1 {
			t.Errorf("%d: %d attempts", status, n)
		}
	}
}

// A command that may have been carried out is not sent again; one that certainly was not is.
func TestCommandsAreNotRepeatedBlindly(t *testing.T) {
	for name, command := range map[maiatest.Name]maia.Command{
		maiatest.Pause: maia.CommandPause, maiatest.Resume: maia.CommandResume, maiatest.Restart: maia.CommandRestart,
	} {
		for _, tt := range []struct {
			name  string
			fault maiatest.Fault
			sent  int
			kind  error
		}{
			{"dropped before", maiatest.Fault{Kind: maiatest.DropBefore}, 1, maia.ErrUnavailable},
			{"dropped after", maiatest.Fault{Kind: maiatest.DropAfter}, 1, maia.ErrUnavailable},
			{"carried out late", maiatest.Fault{Kind: maiatest.Late}, 1, maia.ErrUnavailable},
			{"503", maiatest.Fault{Kind: maiatest.Status5xx}, 1, maia.ErrUnavailable},
			{"503 with a time to wait", maiatest.Fault{Kind: maiatest.Status5xx, RetryAfter: "1"}, 1, maia.ErrUnavailable},
			{"502 after", maiatest.Fault{Kind: maiatest.Status5xxAfter, Status: 502}, 1, maia.ErrUnavailable},
			{"no answer in time", maiatest.Fault{Kind: maiatest.Slow, Delay: time.Hour}, 1, maia.ErrUnavailable},
			{"web page", maiatest.Fault{Kind: maiatest.HTML}, 1, maia.ErrInvalidReply},
			{"403", maiatest.Fault{Kind: maiatest.Status5xx, Status: 403}, 1, maia.ErrForbidden},
			{"429", maiatest.Fault{Kind: maiatest.RateLimited}, 5, maia.ErrRateLimited},
		} {
			t.Run(string(name)+"/"+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fake := newFake(t)
					if _, err := fake.Connect(agentID, "client", secret); err != nil {
						t.Fatal(err)
					}
					tt.fault.Call = name
					fake.Inject(tt.fault)
					wantError(t, fake.Client(t).Command(t.Context(), agentID, command), tt.kind, strings.ToLower(string(command))+" agent")
					if n := count(fake, name); n != tt.sent {
						t.Errorf("sent %d times, want %d", n, tt.sent)
					}
				})
			})
		}
	}
}

// A connection that was never made carried nothing out.
func TestCommandIsRepeatedUntilThereIsAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		client := newClient(t, withToken(func(r *http.Request) (*http.Response, error) {
			if tries++; tries < 3 {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
			}
			_, err := io.ReadAll(r.Body)
			return answer(202, ``), err
		}))
		if err := client.Command(t.Context(), agentID, maia.CommandResume); err != nil || tries != 3 {
			t.Errorf("%d tries, %v", tries, err)
		}
	})
}

// A command that was refused, and may have been carried out the next time, is not taken for one that was refused.
func TestCommandThatMayHaveBeenCarriedOutAfterA429(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		fake.Inject(maiatest.Fault{Call: maiatest.Resume, Nth: 1, Kind: maiatest.RateLimited})
		fake.Inject(maiatest.Fault{Call: maiatest.Resume, Nth: 2, Kind: maiatest.DropAfter})
		err := fake.Client(t).Command(t.Context(), agentID, maia.CommandResume)
		wantError(t, err, maia.ErrUnavailable, "EOF", "the try before was answered with status 429")
		if n := count(fake, maiatest.Resume); n != 2 || errors.Is(err, maia.ErrRateLimited) {
			t.Errorf("%d tries, %v", n, err)
		}
	})
}

// What is slow is waited for: a read that always takes 25 seconds is answered at the second try, and a command at its first.
func TestAnswersThatTake25Seconds(t *testing.T) {
	for _, tt := range []struct {
		name maiatest.Name
		call func(context.Context, *maia.Client) error
		sent int
	}{
		{maiatest.GetAgent, func(ctx context.Context, c *maia.Client) error { _, err := c.Agent(ctx, agentID); return err }, 2},
		{maiatest.GetCredentials, func(ctx context.Context, c *maia.Client) error { _, err := c.Credentials(ctx, agentID); return err }, 2},
		{maiatest.Token, func(ctx context.Context, c *maia.Client) error { return c.Authenticate(ctx) }, 2},
		{maiatest.Pause, func(ctx context.Context, c *maia.Client) error { return c.Command(ctx, agentID, maia.CommandPause) }, 1},
		{maiatest.Resume, func(ctx context.Context, c *maia.Client) error { return c.Command(ctx, agentID, maia.CommandResume) }, 1},
	} {
		t.Run(string(tt.name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				fake.Inject(maiatest.Fault{Call: tt.name, Kind: maiatest.Slow, Delay: 25 * time.Second})
				if err := tt.call(t.Context(), fake.Client(t)); err != nil {
					t.Error(err)
				}
				if n := count(fake, tt.name); n != tt.sent {
					t.Errorf("sent %d times, want %d", n, tt.sent)
				}
			})
		})
	}
}

// The error of many tries names the last answer that there was, however the last try ended.
func TestErrorNamesTheLastAnswer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		last  maiatest.Fault
		stop  time.Duration // after this the caller cancels
		kind  error
		parts []string
	}{
		{"the connection breaks", maiatest.Fault{Kind: maiatest.DropBefore}, 0, maia.ErrUnavailable,
			[]string{"tried again: no complete answer", "EOF"}},
		{"it takes too long", maiatest.Fault{Kind: maiatest.Slow, Delay: time.Hour}, 0, maia.ErrUnavailable,
			[]string{"tried again: no complete answer", "timed out"}},
		{"the caller's deadline", maiatest.Fault{Kind: maiatest.Slow, Delay: time.Hour}, time.Minute, context.DeadlineExceeded,
			[]string{"tried again: no answer in time"}},
		{"the caller cancels", maiatest.Fault{Kind: maiatest.Slow, Delay: time.Hour}, -time.Minute, context.Canceled,
			[]string{"tried again: cancelled"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				for nth := range 4 {
					fake.Inject(maiatest.Fault{Call: maiatest.GetAgent, Nth: nth + 1, Kind: maiatest.Status5xx, Status: 502})
				}
				tt.last.Call, tt.last.Nth = maiatest.GetAgent, 5
				fake.Inject(tt.last)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.stop > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.stop/4)
					defer cancel()
				} else if tt.stop < 0 {
					time.AfterFunc(-tt.stop/4, cancel)
				}
				_, err := fake.Client(t).Agent(ctx, agentID)
				e := wantError(t, err, tt.kind, append(tt.parts, "get agent "+agentID, "status 502: Bad Gateway")...)
				if e.StatusCode != 502 || !errors.Is(err, maia.ErrUnavailable) || count(fake, maiatest.GetAgent) != 5 {
					t.Errorf("%+v", e)
				}
			})
		})
	}
}

// A wait that is cut short says what it was for.
func TestErrorOfACancelledWaitNamesTheFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, withToken(func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := client.Agent(ctx, agentID)
		wantError(t, err, context.Canceled, "connection refused", "context canceled")
	})
}

func TestBackoffGrowsWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		fake.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Status5xx})
		_, err := fake.Client(t).Agent(t.Context(), agentID)
		wantError(t, err, maia.ErrUnavailable)
		calls := fake.Calls()[1:]
		for i, full := 1, 500*time.Millisecond; i < len(calls); i, full = i+1, full*2 {
			if wait := calls[i].Time.Sub(calls[i-1].Time); wait < full/2 || wait >= full {
				t.Errorf("wait %d is %v, want between %v and %v", i, wait, full/2, full)
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, tt := range []struct {
		name   string
		header func() string
		status int
		least  time.Duration
		most   time.Duration
	}{
		{"seconds", func() string { return "90" }, 429, 90 * time.Second, 90 * time.Second},
		{"date", func() string { return date(2 * time.Minute) }, 429, 2 * time.Minute, 2 * time.Minute},
		{"with a 503", func() string { return "60" }, 503, time.Minute, time.Minute},
		{"zero", func() string { return "0" }, 429, 250 * time.Millisecond, 500 * time.Millisecond},
		{"date gone by", func() string { return date(-time.Hour) }, 429, 250 * time.Millisecond, 500 * time.Millisecond},
		{"negative", func() string { return "-5" }, 429, 250 * time.Millisecond, 500 * time.Millisecond},
		{"nonsense", func() string { return "soon" }, 429, 250 * time.Millisecond, 500 * time.Millisecond},
		{"absent", func() string { return "" }, 429, 250 * time.Millisecond, 500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				fake.Inject(maiatest.Fault{Call: maiatest.GetAgent, Nth: 1, Kind: maiatest.Status5xx, Status: tt.status, RetryAfter: tt.header()})
				if _, err := fake.Client(t).Agent(t.Context(), agentID); err != nil {
					t.Fatal(err)
				}
				calls := fake.Calls()
				if wait := calls[2].Time.Sub(calls[1].Time); wait < tt.least || wait > tt.most {
					t.Errorf("waited %v, want %v to %v", wait, tt.least, tt.most)
				}
			})
		})
	}
}

// A wait that the context, or patience, has no time for is not begun.
func TestRetryAfterTooLong(t *testing.T) {
	for _, tt := range []struct {
		header  string
		timeout time.Duration
		want    time.Duration
	}{
		{"120", time.Minute, 2 * time.Minute},
		{"3600", 24 * time.Hour, time.Hour},
		{"2147483647", 24 * time.Hour, 2147483647 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			fake := newFake(t)
			fake.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.RateLimited, RetryAfter: tt.header})
			ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
			defer cancel()
			began := time.Now()
			_, err := fake.Client(t).Agent(ctx, agentID)
			e := wantError(t, err, maia.ErrRateLimited, "retry after "+tt.want.String(), "no time to wait")
			if e.RetryAfter != tt.want || time.Since(began) != 0 || count(fake, maiatest.GetAgent) != 1 {
				t.Errorf("%+v after %v", e, time.Since(began))
			}
		})
	}
}

func TestRateLimitIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t, maiatest.WithRateLimit(2))
		client := fake.Client(t)
		for range 3 {
			if _, err := client.Agent(t.Context(), agentID); err != nil {
				t.Fatal(err)
			}
		}
		if calls := fake.Calls(); len(calls) != 5 || calls[3].Status != 429 || calls[4].Time.Sub(calls[3].Time) != time.Minute {
			t.Errorf("%+v", calls)
		}
	})
}

func TestCancelledCalls(t *testing.T) {
	t.Run("while waiting to try again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fake := newFake(t)
			fake.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.RateLimited, RetryAfter: "60"})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := fake.Client(t).Agent(ctx, agentID)
			wantError(t, err, maia.ErrRateLimited, "context canceled")
			if !errors.Is(err, context.Canceled) {
				t.Error("is not context.Canceled")
			}
		})
	})
	t.Run("while waiting for the answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fake := newFake(t)
			fake.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Slow, Delay: time.Minute})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err := fake.Client(t).Agent(ctx, agentID)
			e := wantError(t, err, context.Canceled, "cancelled")
			if e.Kind != "" || errors.Is(err, maia.ErrUnavailable) {
				t.Errorf("%+v", e)
			}
		})
	})
	t.Run("by the caller's deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			fake := newFake(t)
			fake.Inject(maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Slow, Delay: time.Minute})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := fake.Client(t).Agent(ctx, agentID)
			wantError(t, err, maia.ErrUnavailable, "no answer in time")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error("is not context.DeadlineExceeded")
			}
		})
	})
	t.Run("before the call", func(t *testing.T) {
		fake := newFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := fake.Client(t).Agent(ctx, agentID)
		wantError(t, err, context.Canceled)
		if n := len(fake.Calls()); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

// The text of an unknown network error may quote what the server sent: it is replaced.
func TestConnectionErrorsQuoteNothing(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New(`malformed HTTP response "` + secret + `"`), "the connection failed"},
		{timeoutError{}, "timed out"},
		{io.EOF, "EOF"},
		{io.ErrUnexpectedEOF, "unexpected EOF"},
		{http.ErrSchemeMismatch, "HTTP response to HTTPS client"},
	} {
		synctest.Test(t, func(t *testing.T) {
			client := newClient(t, withToken(func(*http.Request) (*http.Response, error) { return nil, tt.err }))
			err := client.Command(t.Context(), agentID, maia.CommandRestart)
			wantError(t, err, maia.ErrUnavailable, tt.want)
			wantNoLeak(t, err.Error(), secret)
		})
	}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return secret }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
