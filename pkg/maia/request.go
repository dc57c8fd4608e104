package maia

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxReply bounds how much of an answer is read.
const maxReply = 1 << 20

// call describes one request to the API.
type call struct {
	op      string
	agentID string
	method  string
	path    string        // below the API URL, with its query
	body    string        // JSON; "" for none
	timeout time.Duration // of one attempt; repeat sets it
	private bool          // nothing of an answer's body may get into an error
	noReply bool          // a 2xx is all that counts
}

// fail completes an error with what the call was.
func (k call) fail(e *Error) *Error {
	e.Op, e.AgentID = k.op, k.agentID
	if e.Kind == ErrNotFound && e.AgentID == "" {
		e.Kind, e.Reason = ErrRejected, "no such path: check the API URL"
	}
	return e
}

// repeat makes an idempotent call, several times if need be.
func (c *Client) repeat(ctx context.Context, k call) ([]byte, *Error) {
	var body []byte
	err := retry(ctx, func(attempt int) (err *Error) {
		k.timeout = timeoutOf(attempt)
		body, err = c.authorized(ctx, ctx, k)
		return err
	})
	return body, err
}

// authorized makes the call once, with a token that is fetched within tokenCtx if need be. A 401 was certainly not carried out: if the
// token came from the cache, it may have been withdrawn, and the call is made once more with a fresh one.
func (c *Client) authorized(ctx, tokenCtx context.Context, k call) ([]byte, *Error) {
	token, fresh, err := c.tokens.get(tokenCtx, Secret{})
	if err != nil {
		return nil, err
	}
	body, err := c.send(ctx, k, token)
	if err != nil && err.StatusCode == http.StatusUnauthorized && !fresh {
		if token, _, err = c.tokens.get(tokenCtx, token); err != nil {
			return nil, err
		}
		body, err = c.send(ctx, k, token)
	}
	return body, err
}

// send makes one request and returns the body of a 2xx.
func (c *Client) send(ctx context.Context, k call, token Secret) ([]byte, *Error) {
	attempt, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(attempt, k.method, c.apiURL+k.path, nil)
	if err != nil {
		return nil, k.fail(&Error{Kind: ErrRejected, Reason: "the request cannot be built"})
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	request.Header.Set("User-Agent", c.userAgent)
	body := newOnceBody(k.body)
	if k.body != "" {
		request.Header.Set("Content-Type", "application/json")
		request.Body, request.ContentLength = body, int64(len(k.body))
	}

	response, err := c.http.Do(request)
	if err != nil {
		failed := connectionError(ctx, err)
		failed.ambiguous = body.seal()
		return nil, k.fail(failed)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := readReply(response.Body)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		failed := statusError(response.StatusCode, response.Header, token, c.tokens.clientSecret)
		if !k.private {
			failed.addProblem(response.Header, content, token, c.tokens.clientSecret)
		}
		return nil, k.fail(failed)
	}
	switch {
	case mediaType(response.Header) == "text/html" && len(bytes.TrimSpace(content)) > 0:
		// A proxy or a login page answered in Maia's place.
		return nil, k.fail(invalidReply(response.StatusCode, "the answer is an HTML page"))
	case k.noReply:
		return nil, nil
	case errors.Is(err, errTooLarge):
		return nil, k.fail(invalidReply(response.StatusCode, err.Error()))
	case err != nil:
		return nil, k.fail(connectionError(ctx, err))
	}
	return content, nil
}

var errTooLarge = fmt.Errorf("the answer is larger than %d bytes", maxReply)

// readReply reads all of an answer, or fails without having read much more than maxReply.
func readReply(body io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(body, maxReply+1))
	if err == nil && len(content) > maxReply {
		return nil, errTooLarge
	}
	return content, err
}

func invalidReply(status int, reason string) *Error {
	return &Error{Kind: ErrInvalidReply, StatusCode: status, Reason: reason, ambiguous: true}
}

// decode reads a 2xx's body. What it says of a body that does not fit names a field at most: encoding/json's own errors quote the input.
func decode(body []byte, into any) *Error {
	err := json.Unmarshal(body, into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errSecretNotString):
		return invalidReply(0, "clientSecret is not a string")
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return invalidReply(0, wrongType.Field+" has the wrong type")
	case errors.As(err, &wrongType):
		return invalidReply(0, "the answer is not a JSON object")
	case len(body) == 0:
		return invalidReply(0, "the answer is empty")
	}
	return invalidReply(0, "the answer is not valid JSON")
}
