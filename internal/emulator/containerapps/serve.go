package containerapps

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// The operations that are emulated, after the actions of Microsoft.App/containerApps that they need.
const (
	opRead     = "read"
	opList     = "list"
	opWrite    = "write"
	opSecrets  = "listSecrets/action"
	opRevision = "revisions/read"
	opRestart  = "revisions/restart/action"
	opReplicas = "revisions/replicas/read"
	opResults  = "operation results" // of a PATCH: nobody has the right, which is one on the subscription
)

const actions = "Microsoft.App/containerApps/"

// target is what a request is about.
type target struct {
	operation string // empty: none that is known
	group     string // ID of the resource group, or of the subscription
	id        string // of the app; empty for a list of apps
	revision  string
}

func (t target) resource() string {
	switch {
	case t.id == "":
		return t.group
	case t.revision != "":
		return t.id + "/revisions/" + t.revision
	}
	return t.id
}

func (t target) action() string {
	switch t.operation {
	case "":
		return ""
	case opList:
		return actions + opRead
	case opResults:
		return "Microsoft.App/locations/containerappOperationResults/read"
	}
	return actions + t.operation
}

func targetOf(request *http.Request) (t target) {
	path := strings.Split(request.URL.Path, "/")
	is := func(i int, name string) bool { return i < len(path) && strings.EqualFold(path[i], name) }
	if len(path) == 9 && path[0] == "" && is(1, "subscriptions") && is(3, "providers") && is(4, "Microsoft.App") && is(5, "locations") && is(7, "containerappOperationResults") {
		return target{operation: opResults, group: strings.Join(path[:3], "/")}
	}
	if len(path) < 8 || path[0] != "" || !is(1, "subscriptions") || !is(3, "resourceGroups") || !is(5, "providers") || !is(6, "Microsoft.App") || !is(7, "containerApps") {
		return t
	}
	t.group = strings.Join(path[:5], "/")
	if len(path) > 8 {
		t.id = strings.Join(path[:9], "/")
	}
	if len(path) > 10 && is(9, "revisions") {
		t.revision = path[10]
	}
	switch method := request.Method; {
	case method == http.MethodGet && len(path) == 8:
		t.operation = opList
	case method == http.MethodGet && len(path) == 9:
		t.operation = opRead
	case method == http.MethodPatch && len(path) == 9:
		t.operation = opWrite
	case method == http.MethodPost && len(path) == 10 && is(9, "listSecrets"):
		t.operation = opSecrets
	case method == http.MethodGet && len(path) == 10 && is(9, "revisions"):
		t.operation = opRevision
	case method == http.MethodPost && len(path) == 12 && is(9, "revisions") && is(11, "restart"):
		t.operation = opRestart
	case method == http.MethodGet && len(path) == 12 && is(9, "revisions") && is(11, "replicas"):
		t.operation = opReplicas
	}
	return t
}

// problem is an error of Azure Resource Manager.
type problem struct {
	status        int
	code, message string
}

func (p *problem) answer() wire.Answer {
	answer := jsonAnswer(p.status, map[string]any{"error": map[string]any{"code": p.code, "message": p.message}})
	answer.Code = p.code
	return answer
}

func jsonAnswer(status int, document any) wire.Answer {
	body, err := json.Marshal(document)
	if err != nil {
		panic(fmt.Sprintf("containerapps: %v", err))
	}
	return wire.Answer{Status: status, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: body}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, 4<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	to := targetOf(request)
	call := wire.Call{
		Time: time.Now(), Service: "Microsoft.App", Operation: to.operation, Action: to.action(), Resource: to.resource(), RequestID: wire.NewID(),
	}
	if to.operation == "" {
		call.Operation, call.Resource = request.Method, request.URL.Path
	}
	writer.Header().Set("X-Ms-Request-Id", call.RequestID)
	if request.Header.Get("Authorization") != "Bearer "+s.options.Token {
		writer.Header().Set("Www-Authenticate", `Bearer authorization_uri="https://login.microsoftonline.example/", error="invalid_token"`)
		refused := problem{http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing or invalid."}
		s.Serve(writer, call, body, func(wire.Fault) wire.Answer { return refused.answer() }, refused.answer)
		return
	}
	s.Serve(writer, call, body, func(fault wire.Fault) wire.Answer { return refusal(fault, to) }, func() wire.Answer {
		s.mu.Lock()
		defer s.mu.Unlock()
		answer, failed := s.serve(request, to, body)
		if failed != nil {
			return failed.answer()
		}
		return answer
	})
}

// refusal is the error of a fault.
func refusal(fault wire.Fault, to target) wire.Answer {
	switch fault.Kind {
	case wire.AccessDenied:
		return denied(to).answer()
	case wire.Conflict:
		return inProgress.answer()
	case wire.BadRequest:
		return (&problem{http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid."}).answer()
	case wire.Throttle:
		answer := (&problem{http.StatusTooManyRequests, "TooManyRequests", "The request is being throttled."}).answer()
		answer.Header.Set("Retry-After", strconv.Itoa(int(fault.RetryAfter.Seconds())))
		return answer
	}
	return (&problem{http.StatusInternalServerError, "InternalServerError", "The server encountered an error."}).answer()
}

func denied(to target) *problem {
	return &problem{http.StatusForbidden, "AuthorizationFailed", fmt.Sprintf(
		"The client '00000000-0000-0000-0000-00000000000c' with object id '00000000-0000-0000-0000-00000000000d' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
		to.action(), to.resource())}
}

var inProgress = &problem{http.StatusConflict, "ContainerAppOperationInProgress", "Cannot modify a container app while another operation is in progress."}

var version = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-preview)?$`)

// serve answers a request. The lock is held.
func (s *Server) serve(request *http.Request, to target, body []byte) (answer wire.Answer, failed *problem) {
	switch asked := request.URL.Query().Get("api-version"); {
	case asked == "":
		return answer, &problem{http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."}
	case !version.MatchString(asked):
		return answer, &problem{http.StatusBadRequest, "InvalidApiVersionParameter", "The api-version '" + asked + "' is invalid."}
	case to.operation == "" && to.group == "":
		return answer, &problem{http.StatusNotFound, "InvalidResourceType", "The resource type could not be found in the namespace."}
	case to.operation == "":
		return answer, &problem{http.StatusMethodNotAllowed, "MethodNotAllowed", "The requested resource does not support http method '" + request.Method + "', or it is not emulated."}
	case to.operation == opResults:
		return answer, denied(to)
	case !s.groups[strings.ToLower(to.group)]:
		return answer, &problem{http.StatusNotFound, "ResourceGroupNotFound", "Resource group '" + to.group[strings.LastIndex(to.group, "/")+1:] + "' could not be found."}
	case to.operation == opList:
		var found []any
		for _, a := range s.order {
			if strings.HasPrefix(strings.ToLower(a.id), strings.ToLower(to.group)+"/") {
				found = append(found, a.shown())
			}
		}
		return s.page(request, found)
	}
	a := s.apps[strings.ToLower(to.id)]
	if a == nil {
		return answer, &problem{http.StatusNotFound, "ResourceNotFound", fmt.Sprintf(
			"The Resource 'Microsoft.App/containerApps/%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
			to.id[strings.LastIndex(to.id, "/")+1:], to.group[strings.LastIndex(to.group, "/")+1:])}
	}
	if a.locked && (to.operation == opWrite || to.operation == opRestart) {
		return answer, &problem{http.StatusConflict, "ScopeLocked", "The scope '" + to.resource() + "' cannot perform write operation because following scope(s) are locked: '" + a.id + "'. Please remove the lock and try again."}
	}
	switch to.operation {
	case opRead:
		return jsonAnswer(http.StatusOK, a.shown()), nil
	case opSecrets:
		return jsonAnswer(http.StatusOK, map[string]any{"value": append([]Secret{}, a.secrets...)}), nil
	case opWrite:
		return s.update(request, a, body)
	case opRevision:
		return s.page(request, a.shownRevisions())
	}
	for _, r := range a.revisions {
		if !strings.EqualFold(r.name, to.revision) {
			continue
		}
		switch {
		case to.operation == opReplicas:
			return jsonAnswer(http.StatusOK, map[string]any{"value": r.shownReplicas()}), nil
		case !r.active:
			return answer, &problem{http.StatusBadRequest, "RevisionInactive", "The revision '" + r.name + "' is not active."}
		}
		s.restart(a, r)
		return jsonAnswer(http.StatusOK, "Restarted"), nil
	}
	return answer, &problem{http.StatusNotFound, "RevisionNotFound", "The revision '" + to.revision + "' was not found."}
}

// page is the part of a list that is asked for, with a link to the next.
func (s *Server) page(request *http.Request, all []any) (answer wire.Answer, failed *problem) {
	query := request.URL.Query()
	from := 0
	if token := query.Get("$skipToken"); token != "" {
		var err error
		if from, err = strconv.Atoi(token); err != nil || from < 0 || from > len(all) {
			return answer, &problem{http.StatusBadRequest, "InvalidSkipToken", "The skip token is invalid."}
		}
	}
	until := min(from+s.options.PageSize, len(all))
	document := map[string]any{"value": append([]any{}, all[from:until]...)}
	if until < len(all) {
		query.Set("$skipToken", strconv.Itoa(until))
		next := url.URL{Scheme: "https", Host: request.Host, Path: request.URL.Path, RawQuery: query.Encode()}
		if host, _, err := net.SplitHostPort(request.Host); err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback()) && request.TLS == nil {
			next.Scheme = "http"
		}
		document["nextLink"] = next.String()
	}
	return jsonAnswer(http.StatusOK, document), nil
}

// isJSON says that a request says so of its body.
func isJSON(request *http.Request) bool {
	media, _, _ := mime.ParseMediaType(request.Header.Get("Content-Type"))
	return media == "application/json"
}
