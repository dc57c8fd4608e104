package maiatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// pageSize of a listing, as the real API has it.
const pageSize = 25

// route is which call a request is, and about which agent.
func route(r *http.Request, body []byte) (Name, string) {
	if r.URL.Path == tokenPath {
		return Token, ""
	}
	agentID, below, ok := splitPath(r.URL.Path)
	switch {
	case !ok:
	case agentID == "":
		if r.Method == http.MethodGet {
			return ListAgents, ""
		}
	case r.Method == http.MethodGet && below == "":
		return GetAgent, agentID
	case r.Method == http.MethodGet && below == "credentials":
		return GetCredentials, agentID
	case r.Method == http.MethodPost && below == "credentials":
		return RefreshCredentials, agentID
	case r.Method == http.MethodPost && below == "commands":
		command, _ := onlyField(body, "command")
		switch command {
		case "PAUSE":
			return Pause, agentID
		case "RESUME":
			return Resume, agentID
		case "RESTART":
			return Restart, agentID
		}
	}
	return Unknown, agentID
}

// splitPath takes /dpc/v1/agents, /dpc/v1/agents/{agentID} or /dpc/v1/agents/{agentID}/{below} apart. Other paths, and other things below
// an
// agent than credentials and commands, are not ok.
func splitPath(path string) (agentID, below string, ok bool) {
	rest, ok := strings.CutPrefix(path, basePath+"/v1/agents")
	if !ok || rest == "" {
		return "", "", ok
	}
	rest, ok = strings.CutPrefix(rest, "/")
	agentID, below, deeper := strings.Cut(rest, "/")
	return agentID, below, ok && agentID != "" && (!deeper || below == "credentials" || below == "commands")
}

// onlyField returns the string in a JSON object that has this field and no other.
func onlyField(body []byte, field string) (string, error) {
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		return "", errors.New("the body is not a JSON object")
	}
	value, ok := object[field].(string)
	if !ok || len(object) != 1 {
		return "", fmt.Errorf("the body must have the field %q, a string, and no other", field)
	}
	return value, nil
}

// accept checks a request as strictly as the real API does, and returns what answers it: the refusal, or the call itself. The call is not
// carried out before that is run.
func (s *Server) accept(r *http.Request, call Call, body []byte) func() reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	check := s.check
	if call.Name == Token {
		check = s.checkToken
	}
	if refusal := check(r, call, body); refusal != nil {
		return func() reply { return *refusal }
	}
	return func() reply {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.carryOut(r, call)
	}
}

// check returns nil for a request that is in order.
func (s *Server) check(r *http.Request, call Call, body []byte) *reply {
	refuse := func(status int, detail string) *reply {
		answer := problem(status, call.Path, detail)
		return &answer
	}
	if s.closed {
		return refuse(http.StatusServiceUnavailable, "the server is closed")
	}
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer || len(r.Header.Values("Authorization")) != 1 || !time.Now().Before(s.tokens[token]) {
		return refuse(http.StatusUnauthorized, "the token is missing, not known or expired")
	}
	if wait := s.overLimit(); wait > 0 {
		limited := refuse(http.StatusTooManyRequests, "too many requests for this account")
		limited.header["Retry-After"] = strconv.Itoa(int(math.Ceil(wait.Seconds())))
		return limited
	}
	accept := r.Header.Get("Accept")
	if accept != "" && !strings.Contains(accept, "application/json") && !strings.Contains(accept, "*/*") {
		return refuse(http.StatusNotAcceptable, "only application/json is available")
	}
	if r.Method == http.MethodGet && len(body) > 0 {
		return refuse(http.StatusBadRequest, "a GET has no body")
	}
	query := r.URL.Query()
	if call.Name == ListAgents {
		if page := query["page"]; len(page) > 1 || len(page) == 1 && !isPage(page[0]) {
			return refuse(http.StatusBadRequest, "page must be a number from 0")
		}
		query.Del("page")
	}
	if len(query) > 0 {
		return refuse(http.StatusBadRequest, "unknown query parameter")
	}
	switch call.Name {
	case Unknown:
		return s.refuseUnknown(r, call, body)
	case RefreshCredentials, Pause, Resume, Restart:
		if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
			return refuse(http.StatusUnsupportedMediaType, "the body must be application/json")
		}
	}
	if call.Name == RefreshCredentials {
		action, err := onlyField(body, "action")
		if err != nil {
			return refuse(http.StatusBadRequest, err.Error())
		}
		if action != "SECRET_REFRESH" {
			return refuse(http.StatusBadRequest, "action must be SECRET_REFRESH")
		}
	}
	if call.Name != ListAgents && s.find(call.AgentID) == nil {
		return refuse(http.StatusNotFound, "there is no such agent")
	}
	return nil
}

// refuseUnknown explains what is wrong with the path, the method or the command.
func (s *Server) refuseUnknown(r *http.Request, call Call, body []byte) *reply {
	status, detail := http.StatusNotFound, "there is no such path"
	if _, below, ok := splitPath(call.Path); ok {
		status, detail = http.StatusMethodNotAllowed, "the path does not have this method"
		if below == "commands" && r.Method == http.MethodPost {
			status, detail = http.StatusBadRequest, "command must be PAUSE, RESUME or RESTART"
			if _, err := onlyField(body, "command"); err != nil {
				detail = err.Error()
			}
		}
	}
	answer := problem(status, call.Path, detail)
	return &answer
}

func isPage(text string) bool {
	_, err := strconv.ParseUint(text, 10, 31)
	return err == nil
}

// overLimit counts a call, and returns how long to wait if it is one too many.
func (s *Server) overLimit() time.Duration {
	now := time.Now()
	if s.options.behaviour.limits {
		if wait := s.usedUp(now); wait > 0 {
			return wait
		}
	}
	for len(s.recent) > 0 && now.Sub(s.recent[0]) >= time.Minute {
		s.recent = s.recent[1:]
	}
	if len(s.recent) >= s.options.perMinute {
		if len(s.recent) == 0 {
			return time.Minute
		}
		return s.recent[0].Add(time.Minute).Sub(now)
	}
	s.recent = append(s.recent, now)
	return 0
}

// usedUp plays that others use up the account's limit: from one of the first calls, and from the first call after each new login.
func (s *Server) usedUp(now time.Time) time.Duration {
	var login time.Time
	for _, a := range s.agents {
		if a.backAt.After(login) {
			login = a.backAt
		}
	}
	if s.counted++; s.counted == limitedCall || login.After(s.limitedFor) {
		s.limitedUntil, s.limitedFor = now.Add(limitedTime), login
	}
	return s.limitedUntil.Sub(now)
}

// carryOut does what a request that is in order asks for.
func (s *Server) carryOut(r *http.Request, call Call) reply {
	a := s.find(call.AgentID)
	switch call.Name {
	case Token:
		return s.issueToken()
	case ListAgents:
		return s.listAgents(r.URL.Query().Get("page"))
	case GetAgent:
		return jsonReply(http.StatusOK, a.document(&s.options))
	case GetCredentials:
		return jsonReply(http.StatusOK, credentials(a.ClientID, a.shownSecret(&s.options)))
	case RefreshCredentials:
		a.refresh()
		a.refreshes++
		return jsonReply(http.StatusOK, credentials(a.ClientID, a.live()))
	case Pause:
		a.pause(s.options.pauseLength)
	case Resume:
		a.resume()
	case Restart:
		if len(a.instances) == 0 {
			return problem(http.StatusConflict, call.Path, "the agent is not connected")
		}
	}
	return reply{status: http.StatusAccepted, header: map[string]string{}}
}

func credentials(clientID, secret string) map[string]string {
	return map[string]string{"clientId": clientID, "clientSecret": secret}
}

func (s *Server) listAgents(page string) reply {
	number, _ := strconv.Atoi(page) // checked; none is the first
	results := []map[string]any{}
	for i := number * pageSize; i < min((number+1)*pageSize, len(s.agents)); i++ {
		results = append(results, s.agents[i].document(&s.options))
	}
	return jsonReply(http.StatusOK, map[string]any{"results": results, "page": number, "size": pageSize, "total": len(s.agents)})
}
