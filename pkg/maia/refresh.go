package maia

import (
	"context"
	"net/http"
	"time"
)

// RefreshTimeout is how long one refresh may take, fetching a token included.
const RefreshTimeout = 20 * time.Second

// RefreshCredentials has Maia make a new secret and returns it (Maia API reference, POST /v1/agents/{agentId}/credentials with
// {"action":"SECRET_REFRESH"}). Maia revokes the old secret at once and disconnects the runner: nothing can be rolled back.
//
// The request is sent once. The one exception is a 401 to a cached token, which was certainly not carried out: it is sent once more with a
// fresh token. No more than half of RefreshTimeout goes into tokens; call Authenticate before, so that none does. A read just before
// keeps the connection warm: a request that fails on one which had died unnoticed counts as sent.
//
// ErrOutcomeUnknown means that the request may have reached Maia and that no valid answer came back: a time-out or cancellation, a broken
// connection, a 408, 3xx or 5xx, a body that is not credentials. It may even be carried out after the call has returned. Every
// other error means that nothing was refreshed: no connection was made, or Maia refused (4xx, 429 included).
func (c *Client) RefreshCredentials(ctx context.Context, agentID string) (Credentials, error) {
	if err := CheckAgentID(agentID); err != nil {
		return Credentials{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, RefreshTimeout)
	defer cancel()
	tokenCtx, cancelToken := context.WithTimeout(ctx, RefreshTimeout/2)
	defer cancelToken()

	k := call{op: "refresh credentials of agent", agentID: agentID, method: http.MethodPost, path: credentialsPath(agentID),
		body: `{"action":"SECRET_REFRESH"}`, timeout: RefreshTimeout, private: true}
	body, failed := c.authorized(ctx, tokenCtx, k)
	if failed == nil {
		var credentials Credentials
		if credentials, failed = decodeCredentials(body); failed == nil {
			return credentials, nil
		}
		failed = k.fail(failed)
	}
	if failed.ambiguous {
		failed.Kind = ErrOutcomeUnknown
	}
	return Credentials{}, failed
}
