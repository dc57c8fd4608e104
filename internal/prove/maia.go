package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The phases of a rotation, each of which begins with a call of Maia's.
const (
	paused    = "paused"
	refreshed = "refreshed"
	resumed   = "resumed"
	restarted = "restarted" // begins with a call of the cloud
)

func maiaService() service {
	return service{source: sandbox.FromMaia, identify: identifyMaia, refuse: func(many bool, request *http.Request) answer {
		status, header := http.StatusServiceUnavailable, http.Header{"Content-Type": {"application/problem+json"}}
		if many {
			status = http.StatusTooManyRequests
			header.Set("Retry-After", "1")
		}
		return answer{status, header,
			fmt.Appendf(nil, `{"type":"about:blank","title":%q,"status":%d,"instance":%q}`, http.StatusText(status), status, request.URL.Path)}
	}}
}

// identifyMaia leaves out the calls of the world's own client, whose User-Agent names no function.
func identifyMaia(request *http.Request, body []byte) identity {
	own := !strings.Contains(request.UserAgent(), "(")
	post := request.Method == http.MethodPost
	switch path := request.URL.Path; {
	case strings.HasSuffix(path, "/token"):
		return identity{name: string(maiatest.Token), ignored: own}
	case strings.HasSuffix(path, "/credentials") && post:
		return identity{name: string(maiatest.RefreshCredentials), changes: true, begins: refreshed, ignored: own}
	case strings.HasSuffix(path, "/credentials"):
		return identity{name: string(maiatest.GetCredentials), ignored: own}
	case strings.HasSuffix(path, "/commands") && strings.Contains(string(body), `"PAUSE"`):
		return identity{name: string(maiatest.Pause), changes: true, begins: paused, ignored: own}
	case strings.HasSuffix(path, "/commands") && strings.Contains(string(body), `"RESUME"`):
		return identity{name: string(maiatest.Resume), changes: true, begins: resumed, ignored: own}
	case strings.HasSuffix(path, "/agents"):
		return identity{name: string(maiatest.ListAgents), ignored: own}
	case strings.Contains(path, "/agents/"):
		return identity{name: string(maiatest.GetAgent), ignored: own}
	}
	return identity{name: request.Method + " " + request.URL.Path, ignored: own}
}

// credentials reports whether Maia answers the call with credentials.
func (c call) credentials() bool {
	return c.source == sandbox.FromMaia && strings.HasSuffix(c.name, "Credentials")
}
