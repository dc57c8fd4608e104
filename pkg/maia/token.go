package maia

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	audience     = "https://api.matillion.com"
	tokenLife    = 30 * time.Minute // where the answer has no expires_in
	tokenMargin  = 2 * time.Minute  // a token is renewed this long before it expires
	opFetchToken = "fetch token"
)

// tokenCache holds one access token for all callers.
type tokenCache struct {
	url          string
	clientID     string
	clientSecret Secret
	http         *http.Client
	userAgent    string

	mu      sync.Mutex
	token   Secret
	renewAt time.Time
	flight  *tokenFlight // the fetch under way, if there is one
}

// tokenFlight is one fetch that several callers wait for.
type tokenFlight struct {
	done      chan struct{} // closed when the rest is set
	token     Secret
	err       *Error
	abandoned bool // the caller who made the fetch gave up, or had no time for one more try: it says nothing to the others
}

// get returns a token that will be good for a while, and whether it was fetched for this call. A cached token that equals rejected is
// not used. Callers at the same time share one fetch, which runs in the context of the first of them; if that one gives up or runs out of
// time, the next makes a fetch of its own, in its own time.
func (t *tokenCache) get(ctx context.Context, rejected Secret) (token Secret, fresh bool, failed *Error) {
	for {
		t.mu.Lock()
		if !t.token.IsZero() && !t.token.Equal(rejected) && time.Now().Before(t.renewAt) {
			defer t.mu.Unlock()
			return t.token, false, nil
		}
		flight := t.flight
		if flight == nil {
			flight = &tokenFlight{done: make(chan struct{})}
			t.flight = flight
			t.mu.Unlock()
			t.lead(ctx, flight)
			return flight.token, true, flight.err
		}
		t.mu.Unlock()

		select {
		case <-flight.done:
			if !flight.abandoned {
				return flight.token, true, flight.err
			}
		case <-ctx.Done():
			failed := connectionError(ctx, ctx.Err())
			failed.Op, failed.ambiguous = opFetchToken, false
			return Secret{}, false, failed
		}
	}
}

// lead makes the fetch and publishes its outcome.
func (t *tokenCache) lead(ctx context.Context, flight *tokenFlight) {
	var renewAt time.Time
	err := retry(ctx, func(attempt int) (err *Error) {
		flight.token, renewAt, err = t.fetch(ctx, timeoutOf(attempt))
		return err
	})
	if err != nil {
		err.Op = opFetchToken
		// Neither is about the call that needs the token: that was not sent.
		err.ambiguous, err.retry = false, false
		flight.err, flight.abandoned = err, err.noTime || ctx.Err() != nil
	}
	t.mu.Lock()
	t.flight = nil
	if err == nil {
		t.token, t.renewAt = flight.token, renewAt
	}
	t.mu.Unlock()
	close(flight.done)
}

// fetch makes one request to the token endpoint (Maia API reference, "Authentication": POST /oauth/dpc/token).
func (t *tokenCache) fetch(ctx context.Context, timeout time.Duration) (token Secret, renewAt time.Time, failed *Error) {
	attempt, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	recorder := &tokenRecorder{base: t.http.Transport, userAgent: t.userAgent}
	client := *t.http
	client.Transport = recorder
	// Built here and not kept: it holds the secret as a plain string.
	config := clientcredentials.Config{
		ClientID: t.clientID, ClientSecret: t.clientSecret.Reveal(), TokenURL: t.url,
		EndpointParams: url.Values{"audience": {audience}},
		AuthStyle:      oauth2.AuthStyleInParams, // detection would send the secret twice
	}
	got, err := config.Token(context.WithValue(attempt, oauth2.HTTPClient, &client))

	// What went wrong is taken from the recorder, as oauth2's errors quote the answer.
	status := recorder.status
	switch {
	case errors.Is(recorder.err, errTooLarge):
		return Secret{}, time.Time{}, invalidReply(status, errTooLarge.Error())
	case recorder.err != nil:
		return Secret{}, time.Time{}, connectionError(ctx, recorder.err)
	case status == 0:
		return Secret{}, time.Time{}, connectionError(ctx, err)
	case status < 200 || status > 299:
		return Secret{}, time.Time{}, tokenStatusError(status, recorder.header, errorCode(err), t.clientSecret)
	case err != nil:
		return Secret{}, time.Time{}, invalidReply(status, strings.TrimSpace("the answer has no token "+errorCode(err)))
	case !strings.EqualFold(got.Type(), "bearer"):
		return Secret{}, time.Time{}, invalidReply(status, "token_type is not Bearer")
	case strings.ContainsFunc(got.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return Secret{}, time.Time{}, invalidReply(status, "access_token contains characters that no token has")
	}
	now, life := time.Now(), tokenLife
	if !got.Expiry.IsZero() {
		life = got.Expiry.Sub(now)
	}
	// A token that lives shorter than the margin is still used for half of its life.
	return NewSecret(got.AccessToken), now.Add(life - min(tokenMargin, life/2)), nil
}

// tokenStatusError explains a refusal by the token endpoint in terms of the credential that it refused.
func tokenStatusError(status int, header http.Header, code string, secret Secret) *Error {
	failed := statusError(status, header, secret)
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		code == "invalid_client", code == "unauthorized_client", code == "access_denied":
		failed.Kind = ErrUnauthorized
		failed.Reason = "check its client ID and client secret"
	case status == http.StatusNotFound:
		failed.Kind, failed.Reason = ErrRejected, "no such path: check the token URL"
	}
	if code != "" {
		failed.Title = code
	}
	return failed
}

// errorCode returns the error code of a refusal (RFC 6749, sections 4.1.2.1 and 5.2) if it is a registered one. Anything else in its place
// could be anything.
func errorCode(err error) string {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return ""
	}
	switch refused.ErrorCode {
	case "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
		"access_denied", "server_error", "temporarily_unavailable":
		return refused.ErrorCode
	}
	return ""
}

// tokenRecorder passes the one request of a token fetch on and keeps what oauth2 hides or quotes: the status, the headers, and how reading
// the answer failed.
type tokenRecorder struct {
	base      http.RoundTripper
	userAgent string

	status int
	header http.Header
	err    error
}

// RoundTrip implements http.RoundTripper.
func (r *tokenRecorder) RoundTrip(request *http.Request) (*http.Response, error) {
	base := r.base
	if base == nil {
		base = http.DefaultTransport
	}
	request = request.Clone(request.Context())
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", r.userAgent)
	response, err := base.RoundTrip(request)
	if err != nil {
		r.err = err
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := readReply(response.Body)
	r.status, r.header = response.StatusCode, response.Header
	if response.StatusCode >= 200 && response.StatusCode <= 299 {
		r.err = err
	}
	response.Body = io.NopCloser(bytes.NewReader(content))
	return response, nil
}
