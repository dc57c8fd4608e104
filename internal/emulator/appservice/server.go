package appservice

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/resourcemanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// Server implements http.Handler. Its calls are recorded by operations, which are the actions that they need. Its fields may
// be changed by [Server.Change] while it serves.
type Server struct {
	wire.Traffic
	Token       string       // that is accepted
	Next        http.Handler // for requests about what is not emulated here; nil: they are not found
	Sites       []*Site
	Accounts    []string // resource IDs of storage accounts
	Assignments []Assignment
	Roles       []Role
	Permissions map[string][]Permission // of the caller, by resource ID

	mu sync.Mutex
}

// Site is a function app.
type Site struct {
	ID         string
	Kind       string
	Identity   map[string]any
	Properties map[string]any
	Settings   map[string]string
	References map[string]Reference      // by the names of settings
	Functions  map[string]map[string]any // their properties, by name
}

// Reference is what came of a setting that refers to Key Vault.
type Reference struct{ Status, Details string }

// Assignment gives a principal a role somewhere.
type Assignment struct{ Principal, Role, Scope, Condition string }

// Role is a definition of one, by its resource ID.
type Role struct {
	ID, Name    string
	Permissions []Permission
}

// Permission is a part of what a role allows.
type Permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

// Change changes the server while it serves.
func (s *Server) Change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// pageSize is small, so that a client that reads only one page fails.
const pageSize = 2

// target is what a request is about.
type target struct {
	action   string // that it needs; empty: not emulated here
	resource string // resource ID of what it is about
	name     string // of a function
}

var targets = []struct {
	method, action string
	pattern        *regexp.Regexp // the resource, and perhaps a name
}{
	{http.MethodGet, readPermissions, regexp.MustCompile(`(?i)^(/.+)/providers/Microsoft\.Authorization/permissions$`)},
	{http.MethodGet, readAssignments, regexp.MustCompile(`(?i)^(/.+)/providers/Microsoft\.Authorization/roleAssignments$`)},
	{http.MethodGet, readDefinition, regexp.MustCompile(`(?i)^(/.*/?providers/Microsoft\.Authorization/roleDefinitions/[^/]+)$`)},
	{http.MethodGet, readAccount,
		regexp.MustCompile(`(?i)^(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Storage/storageAccounts/[^/]+)$`)},
	{http.MethodGet, readSite, regexp.MustCompile(`(?i)^` + siteID + `$`)},
	{http.MethodGet, readFunction, regexp.MustCompile(`(?i)^` + siteID + `/functions/([^/]+)$`)},
	{http.MethodGet, readConfig, regexp.MustCompile(`(?i)^` + siteID + `/config/configreferences/appsettings$`)},
	{http.MethodPost, listConfig, regexp.MustCompile(`(?i)^` + siteID + `/config/appsettings/list$`)},
}

const (
	readPermissions = "Microsoft.Authorization/permissions/read"
	readAssignments = "Microsoft.Authorization/roleAssignments/read"
	readDefinition  = "Microsoft.Authorization/roleDefinitions/read"
	readAccount     = "Microsoft.Storage/storageAccounts/read"
	readSite        = "Microsoft.Web/sites/read"
	readFunction    = "Microsoft.Web/sites/functions/read"
	readConfig      = "Microsoft.Web/sites/config/read"
	listConfig      = "Microsoft.Web/sites/config/list/action"

	siteID = `(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Web/sites/[^/]+)`
)

// ours matches what is emulated here, whatever the method.
var ours = regexp.MustCompile(`(?i)/providers/(Microsoft\.Web|Microsoft\.Authorization|Microsoft\.Storage)/`)

func targetOf(request *http.Request) target {
	for _, known := range targets {
		found := known.pattern.FindStringSubmatch(request.URL.Path)
		if found == nil || request.Method != known.method {
			continue
		}
		t := target{action: known.action, resource: found[1]}
		if len(found) > 2 {
			t.name = found[2]
		}
		return t
	}
	return target{resource: request.URL.Path}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	to := targetOf(request)
	if s.Next != nil && !ours.MatchString(request.URL.Path) {
		s.Next.ServeHTTP(writer, request)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	call := wire.Call{Time: time.Now(), Service: "resource manager", Operation: to.action, Action: to.action, Resource: to.resource,
		RequestID: wire.NewID()}
	if to.action == "" {
		call.Operation = request.Method
	}
	writer.Header().Set("X-Ms-Request-Id", call.RequestID)
	if request.Header.Get("Authorization") != "Bearer "+s.Token {
		s.Serve(writer, call, body, func(wire.Fault) wire.Answer { return resourcemanager.Unauthenticated.Answer() },
			resourcemanager.Unauthenticated.Answer)
		return
	}
	s.Serve(writer, call, body, func(fault wire.Fault) wire.Answer { return resourcemanager.Refusal(fault, to.action, to.resource) },
		func() wire.Answer {
			s.mu.Lock()
			defer s.mu.Unlock()
			answer, failed := s.serve(request, to)
			if failed != nil {
				return failed.Answer()
			}
			return answer
		})
}

// serve answers a request. The lock is held.
func (s *Server) serve(request *http.Request, to target) (wire.Answer, *resourcemanager.Problem) {
	if failed := resourcemanager.CheckVersion(request); failed != nil {
		return wire.Answer{}, failed
	}
	switch to.action {
	case "":
		return wire.Answer{}, resourcemanager.New(http.StatusMethodNotAllowed, "MethodNotAllowed",
			"The requested resource does not support http method '"+request.Method+"', or it is not emulated.")
	case readPermissions:
		var all []any
		for scope, permissions := range s.Permissions {
			for _, permission := range permissions {
				if strings.EqualFold(scope, to.resource) {
					all = append(all, permission)
				}
			}
		}
		return resourcemanager.Page(request, all, pageSize)
	case readAssignments:
		return s.assignments(request, to.resource)
	case readDefinition:
		for _, role := range s.Roles {
			if strings.EqualFold(role.ID, to.resource) {
				return shown(role.ID, "Microsoft.Authorization/roleDefinitions", map[string]any{"properties": map[string]any{
					"roleName": role.Name, "permissions": role.Permissions,
				}}), nil
			}
		}
		return wire.Answer{}, resourcemanager.New(http.StatusNotFound, "RoleDefinitionDoesNotExist", "The specified role definition with ID '"+
			last(to.resource)+"' does not exist.")
	case readAccount:
		for _, id := range s.Accounts {
			if strings.EqualFold(id, to.resource) {
				return shown(id, "Microsoft.Storage/storageAccounts", map[string]any{"properties": map[string]any{}}), nil
			}
		}
		return wire.Answer{}, notFound(to.resource)
	}
	for _, site := range s.Sites {
		if strings.EqualFold(site.ID, to.resource) {
			return site.serve(request, to)
		}
	}
	return wire.Answer{}, notFound(to.resource)
}

var assignedTo = regexp.MustCompile(`^assignedTo\('([^']+)'\)$`)

// assignments are the role assignments at, above and below a scope.
func (s *Server) assignments(request *http.Request, scope string) (wire.Answer, *resourcemanager.Problem) {
	filter := assignedTo.FindStringSubmatch(request.URL.Query().Get("$filter"))
	if filter == nil {
		return wire.Answer{}, resourcemanager.New(http.StatusBadRequest, "UnsupportedQuery", "The filter is not supported, or not emulated.")
	}
	within := func(outer, inner string) bool {
		outer, inner = strings.ToLower(strings.TrimRight(outer, "/")), strings.ToLower(inner)
		return outer == inner || strings.HasPrefix(inner, outer+"/") || strings.HasPrefix(outer, "/providers/microsoft.management/")
	}
	var all []any
	for _, one := range s.Assignments {
		if one.Principal != filter[1] || !within(one.Scope, scope) && !within(scope, one.Scope) {
			continue
		}
		properties := map[string]any{"principalId": one.Principal, "roleDefinitionId": one.Role, "scope": one.Scope, "condition": nil}
		if one.Condition != "" {
			properties["condition"] = one.Condition
		}
		all = append(all, map[string]any{"type": "Microsoft.Authorization/roleAssignments", "properties": properties})
	}
	return resourcemanager.Page(request, all, pageSize)
}

func (site *Site) serve(request *http.Request, to target) (wire.Answer, *resourcemanager.Problem) {
	switch to.action {
	case listConfig:
		return shown(site.ID+"/config/appsettings", "Microsoft.Web/sites/config", map[string]any{"properties": site.Settings}), nil
	case readConfig:
		var all []any
		for name, reference := range site.References {
			all = append(all, map[string]any{"name": name, "properties": map[string]any{
				"reference": site.Settings[name], "status": reference.Status, "details": reference.Details,
			}})
		}
		return resourcemanager.Page(request, all, max(len(all), 1)) // of a map: pages would not fit together
	case readFunction:
		for name, properties := range site.Functions {
			if strings.EqualFold(name, to.name) {
				return shown(site.ID+"/functions/"+name, "Microsoft.Web/sites/functions", map[string]any{"properties": properties}), nil
			}
		}
		return wire.Answer{}, resourcemanager.New(http.StatusNotFound, "NotFound", "Function with name: "+to.name+" does not exist.")
	}
	return shown(site.ID, "Microsoft.Web/sites",
		map[string]any{"kind": site.Kind, "identity": site.Identity, "properties": site.Properties}), nil
}

func last(id string) string { return id[strings.LastIndex(id, "/")+1:] }

func shown(id, kind string, document map[string]any) wire.Answer {
	document["id"], document["name"], document["type"] = id, last(id), kind
	return resourcemanager.JSON(http.StatusOK, document)
}

func notFound(id string) *resourcemanager.Problem {
	return resourcemanager.New(http.StatusNotFound, "ResourceNotFound", "The Resource '"+id+
		"' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix")
}
