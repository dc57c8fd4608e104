package maiatest

import (
	"crypto/rand"
	"mime"
	"net/http"
	"net/url"
	"time"
)

const audience = "https://api.matillion.com"

// checkToken returns nil for a token request that is in order.
func (s *Server) checkToken(r *http.Request, call Call, body []byte) *reply {
	refuse := func(status int, code, description string) *reply {
		answer := oauthError(status, code, description)
		return &answer
	}
	if s.closed {
		return refuse(http.StatusServiceUnavailable, "temporarily_unavailable", "the server is closed")
	}
	if r.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, "invalid_request", "a token is asked for with POST")
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/x-www-form-urlencoded" {
		return refuse(http.StatusUnsupportedMediaType, "invalid_request", "the body must be a form")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || r.URL.RawQuery != "" {
		return refuse(http.StatusBadRequest, "invalid_request", "the parameters must be in the body, as a form")
	}
	for _, values := range form {
		if len(values) != 1 {
			return refuse(http.StatusBadRequest, "invalid_request", "a parameter is there twice")
		}
	}
	switch {
	case r.Header.Get("Authorization") != "":
		return refuse(http.StatusBadRequest, "invalid_request", "the credentials must be in the form, and only there")
	case form.Get("grant_type") != "client_credentials":
		return refuse(http.StatusBadRequest, "unsupported_grant_type", "grant_type must be client_credentials")
	case form.Get("client_id") != s.options.clientID || form.Get("client_secret") != s.options.clientSecret:
		return refuse(http.StatusUnauthorized, "invalid_client", "the client ID or secret is wrong")
	case form.Get("audience") != audience:
		return refuse(http.StatusForbidden, "access_denied", "the audience must be "+audience)
	}
	return nil
}

func (s *Server) issueToken() reply {
	token := rand.Text()
	s.tokens[token] = time.Now().Add(s.options.tokenLifetime)
	answer := map[string]any{"access_token": token, "token_type": "Bearer"}
	if s.options.expiresIn {
		answer["expires_in"] = int(s.options.tokenLifetime.Seconds())
	}
	return jsonReply(http.StatusOK, answer)
}
