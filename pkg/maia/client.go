package maia

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

const (
	pageSize = 25  // of GET /v1/agents, where the answer does not say
	maxPages = 400 // of one listing: an account with more than 10,000 agents is an error in the answer
)

// Client calls the Maia API. It is safe for use by several goroutines at the same time, and keeps nothing but an access token between
// calls. Every method fails with an *Error, or, if an argument is wrong, with a plain error and without a call.
type Client struct {
	apiURL    string
	http      *http.Client
	userAgent string
	tokens    *tokenCache
}

// Authenticate makes sure that an access token is at hand which is good for 2 more minutes, so that a call that follows has nothing else
// to wait for (Maia API reference, "Authentication").
func (c *Client) Authenticate(ctx context.Context) error {
	if _, _, err := c.tokens.get(ctx, Secret{}); err != nil {
		return err
	}
	return nil
}

// Agents lists all agents of the account (Maia API reference, GET /v1/agents), in Maia's order and each once.
func (c *Client) Agents(ctx context.Context) ([]Agent, error) {
	k := call{op: "list agents", method: http.MethodGet}
	var agents []Agent
	seen := map[string]bool{}
	for page := range maxPages {
		k.path = fmt.Sprintf("/v1/agents?page=%d", page)
		body, failed := c.repeat(ctx, k)
		if failed != nil {
			return nil, failed
		}
		var reply struct {
			Results []agentJSON   `json:"results"`
			Size    optional[int] `json:"size"`
			Total   optional[int] `json:"total"`
		}
		if failed := decode(body, &reply); failed != nil {
			return nil, k.fail(failed)
		}
		if reply.Results == nil {
			return nil, k.fail(invalidReply(0, "results is missing"))
		}
		size, total := reply.Size.value, reply.Total.value
		if size <= 0 {
			size = pageSize
		}
		known := len(agents)
		for _, result := range reply.Results {
			agent, err := result.agent()
			if err != nil {
				return nil, k.fail(invalidReply(0, err.Error()))
			}
			// A page shifts when an agent is created or deleted meanwhile: one that comes twice is no error.
			if id := strings.ToLower(agent.ID); !seen[id] {
				seen[id] = true
				agents = append(agents, agent)
			}
		}
		if len(reply.Results) < size || total > 0 && len(agents) >= total {
			return agents, nil
		}
		if len(agents) == known {
			return nil, k.fail(invalidReply(0, fmt.Sprintf("page %d repeats earlier ones", page)))
		}
	}
	return nil, k.fail(invalidReply(0, fmt.Sprintf("more than %d pages", maxPages)))
}

// Agent reads one agent (Maia API reference, GET /v1/agents/{agentId}).
func (c *Client) Agent(ctx context.Context, agentID string) (Agent, error) {
	if err := CheckAgentID(agentID); err != nil {
		return Agent{}, err
	}
	k := call{op: "get agent", agentID: agentID, method: http.MethodGet, path: "/v1/agents/" + agentID}
	body, failed := c.repeat(ctx, k)
	if failed != nil {
		return Agent{}, failed
	}
	var reply agentJSON
	if failed := decode(body, &reply); failed != nil {
		return Agent{}, k.fail(failed)
	}
	agent, err := reply.agent()
	if err == nil && !strings.EqualFold(agent.ID, agentID) {
		err = errors.New("the answer is about another agent")
	}
	if err != nil {
		return Agent{}, k.fail(invalidReply(0, err.Error()))
	}
	return agent, nil
}

// Credentials reads the credentials that are valid now (Maia API reference, GET /v1/agents/{agentId}/credentials). How soon the answer
// follows a refresh is not documented. Masked or otherwise unusable credentials are ErrInvalidReply.
func (c *Client) Credentials(ctx context.Context, agentID string) (Credentials, error) {
	if err := CheckAgentID(agentID); err != nil {
		return Credentials{}, err
	}
	k := call{op: "get credentials of agent", agentID: agentID, method: http.MethodGet, path: credentialsPath(agentID), private: true}
	body, failed := c.repeat(ctx, k)
	if failed != nil {
		return Credentials{}, failed
	}
	credentials, failed := decodeCredentials(body)
	if failed != nil {
		return Credentials{}, k.fail(failed)
	}
	return credentials, nil
}

// Command gives an agent an order (Maia API reference, POST /v1/agents/{agentId}/commands). It is sent once, and again only where it was
// certainly not carried out (a 429, a connection that was never made, a 401 to a cached token): a second pause sets another end, and a
// second resume ends a pause that an operator began in between. After any other failure that is no refusal (ErrUnavailable,
// ErrInvalidReply, or no kind, if the caller cancelled) the order may have been carried out, or may yet be: read the agent.
func (c *Client) Command(ctx context.Context, agentID string, command Command) error {
	if err := CheckAgentID(agentID); err != nil {
		return err
	}
	switch command {
	case CommandPause, CommandResume, CommandRestart:
	default:
		return fmt.Errorf("maia: command %q: expected %s, %s or %s", command, CommandPause, CommandResume, CommandRestart)
	}
	k := call{op: strings.ToLower(string(command)) + " agent", agentID: agentID, method: http.MethodPost,
		path: "/v1/agents/" + agentID + "/commands", body: `{"command":"` + string(command) + `"}`,
		timeout: laterTimeout, noReply: true}
	failed := retry(ctx, func(int) *Error {
		_, err := c.authorized(ctx, ctx, k)
		if err != nil && err.ambiguous {
			err.retry = false
		}
		return err
	})
	if failed != nil {
		return failed
	}
	return nil
}

func credentialsPath(agentID string) string { return "/v1/agents/" + agentID + "/credentials" }

// decodeCredentials reads the answer of both credentials calls.
func decodeCredentials(body []byte) (Credentials, *Error) {
	var reply struct {
		ClientID     string `json:"clientId"`
		ClientSecret Secret `json:"clientSecret"`
	}
	if failed := decode(body, &reply); failed != nil {
		return Credentials{}, failed
	}
	if field := repeated(body, "clientId", "clientSecret"); field != "" {
		return Credentials{}, invalidReply(0, field+" is there more than once")
	}
	credentials := Credentials{ClientID: reply.ClientID, ClientSecret: reply.ClientSecret}
	if err := credentials.Validate(); err != nil {
		return Credentials{}, invalidReply(0, err.Error())
	}
	return credentials, nil
}

// repeated names a field that a JSON object has more than once, so that it is not clear which of them counts; "" if there is none.
// encoding/json takes the last, and takes names in whatever case.
func repeated(object []byte, fields ...string) string {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if opening, _ := decoder.Token(); opening != json.Delim('{') {
		return ""
	}
	seen := map[string]bool{}
	for decoder.More() {
		key, _ := decoder.Token()
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return "" // it was read before
		}
		for _, field := range fields {
			if name, _ := key.(string); strings.EqualFold(name, field) {
				if seen[field] {
					return field
				}
				seen[field] = true
			}
		}
	}
	return ""
}
