package containerapps

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/resourcemanager"
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
	if len(path) == 9 && path[0] == "" && is(1, "subscriptions") && is(3, "providers") && is(4, "Microsoft.App") && is(5, "locations") &&
		is(7, "containerappOperationResults") {
		return target{operation: opResults, group: strings.Join(path[:3], "/")}
	}
	if len(path) < 8 || path[0] != "" || !is(1, "subscriptions") || !is(3, "resourceGroups") || !is(5, "providers") ||
		!is(6, "Microsoft.App") || !is(7, "containerApps") {
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

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, 4<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	to := targetOf(request)
	call := wire.Call{
		Time: time.Now(), Service: "Microsoft.App", Operation: to.operation, Action: to.action(), Resource: to.resource(),
		RequestID: wire.NewID(),
	}
	if to.operation == "" {
		call.Operation, call.Resource = request.Method, request.URL.Path
	}
	writer.Header().Set("X-Ms-Request-Id", call.RequestID)
	if request.Header.Get("Authorization") != "Bearer "+s.options.Token {
		refused := resourcemanager.Unauthenticated.Answer
		s.Serve(writer, call, body, func(wire.Fault) wire.Answer { return refused() }, refused)
		return
	}
	s.Serve(writer, call, body, func(fault wire.Fault) wire.Answer { return refusal(fault, to) }, func() wire.Answer {
		answer, slow := s.answer(request, to, body)
		if slow > 0 {
			s.Wait(slow)
		}
		return answer
	})
}

// answer is that to a request, and how long it takes.
func (s *Server) answer(request *http.Request, to target, body []byte) (answer wire.Answer, slow time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.busy(); refused != nil {
		return *refused, 0
	}
	answer, failed := s.serve(request, to, body)
	if failed != nil {
		return failed.Answer(), 0
	}
	return answer, s.slow()
}

// refusal is the error of a fault.
func refusal(fault wire.Fault, to target) wire.Answer {
	if fault.Kind == wire.Conflict {
		return inProgress.Answer()
	}
	return resourcemanager.Refusal(fault, to.action(), to.resource())
}

var inProgress = resourcemanager.New(http.StatusConflict, "ContainerAppOperationInProgress",
	"Cannot modify a container app while another operation is in progress.")

// serve answers a request. The lock is held.
func (s *Server) serve(request *http.Request, to target, body []byte) (answer wire.Answer, failed *resourcemanager.Problem) {
	if failed := resourcemanager.CheckVersion(request); failed != nil {
		return answer, failed
	}
	switch {
	case to.operation == "" && to.group == "":
		return answer, resourcemanager.New(http.StatusNotFound, "InvalidResourceType", "The resource type could not be found in the namespace.")
	case to.operation == "":
		return answer, resourcemanager.New(http.StatusMethodNotAllowed, "MethodNotAllowed",
			"The requested resource does not support http method '"+request.Method+"', or it is not emulated.")
	case to.operation == opResults:
		return answer, resourcemanager.Denied(to.action(), to.resource())
	case !s.groups[strings.ToLower(to.group)]:
		return answer, resourcemanager.New(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '"+
			to.group[strings.LastIndex(to.group, "/")+1:]+"' could not be found.")
	case to.operation == opList:
		var found []any
		for _, a := range s.order {
			if strings.HasPrefix(strings.ToLower(a.id), strings.ToLower(to.group)+"/") {
				found = append(found, a.shown())
			}
		}
		return resourcemanager.Page(request, found, s.options.PageSize)
	}
	a := s.apps[strings.ToLower(to.id)]
	if a == nil {
		return answer, resourcemanager.New(http.StatusNotFound, "ResourceNotFound", fmt.Sprintf(
			"The Resource 'Microsoft.App/containerApps/%s' under resource group '%s' was not found. For more details please go to "+
				"https://aka.ms/ARMResourceNotFoundFix",
			to.id[strings.LastIndex(to.id, "/")+1:], to.group[strings.LastIndex(to.group, "/")+1:]))
	}
	if a.locked && (to.operation == opWrite || to.operation == opRestart) {
		return answer, resourcemanager.New(http.StatusConflict, "ScopeLocked", "The scope '"+to.resource()+
			"' cannot perform write operation because following scope(s) are locked: '"+a.id+"'. Please remove the lock and try again.")
	}
	if failed := s.denial(to, body); failed != nil {
		return answer, failed
	}
	switch to.operation {
	case opRead:
		return resourcemanager.JSON(http.StatusOK, s.read(a, opRead, a.shown(), func(was shot) any { return was.app })), nil
	case opSecrets:
		shown := s.read(a, opSecrets, s.listed(a), func(was shot) any { return was.secrets })
		return resourcemanager.JSON(http.StatusOK, map[string]any{"value": shown}), nil
	case opWrite:
		return s.update(request, a, body)
	case opRevision:
		shown := s.read(a, opRevision, s.shownRevisions(a), func(was shot) any { return was.revisions })
		return resourcemanager.Page(request, shown.([]any), s.options.PageSize)
	}
	for _, r := range a.revisions {
		if !strings.EqualFold(r.name, to.revision) {
			continue
		}
		switch {
		case to.operation == opReplicas:
			shown := s.read(a, r.name, s.shownReplicas(r), func(was shot) any { return was.replicas[r.name] })
			return resourcemanager.JSON(http.StatusOK, map[string]any{"value": shown}), nil
		case !r.active:
			return answer, resourcemanager.New(http.StatusBadRequest, "RevisionInactive", "The revision '"+r.name+"' is not active.")
		}
		if s.refuses(a, r) {
			return answer, inProgress
		}
		s.changing(a, true)
		s.restart(a, r)
		return resourcemanager.JSON(http.StatusOK, "Restarted"), nil
	}
	return answer, resourcemanager.New(http.StatusNotFound, "RevisionNotFound", "The revision '"+to.revision+"' was not found.")
}

// isJSON reports whether a request has the content type of JSON.
func isJSON(request *http.Request) bool {
	media, _, _ := mime.ParseMediaType(request.Header.Get("Content-Type"))
	return media == "application/json"
}
