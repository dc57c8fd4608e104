// Package containerapps emulates Azure Container Apps as Azure Resource Manager shows them over HTTP: an app with secrets,
// revisions, and replicas that read the secrets when they start.
//
// It is strict where the service is: no values in a GET; a PATCH is a JSON merge patch that replaces the array of secrets
// whole; a secret without a value is refused; one that is dropped and in use makes the operation hang; a change during
// another is a conflict; and a changed secret is read by nobody until a revision is restarted.
package containerapps

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are the settings of a Server.
type Options struct {
	Token     string        // that is accepted
	Provision time.Duration // how long a PATCH is in progress
	Hang      time.Duration // how long one that hangs is, before it fails
	Start     time.Duration // from the creation of a replica until its containers are ready
	Roll      time.Duration // from a restart until the new replica of each place is created, one after the other
	// StartReplica starts a replica with the environment that it has read; stop ends it. An error has it crash.
	StartReplica func(app string, environment map[string]string) (stop func(), err error)
}

// Secret is one of an app.
type Secret struct {
	Name        string `json:"name"`
	Value       string `json:"value,omitempty"`
	KeyVaultURL string `json:"keyVaultUrl,omitempty"`
	Identity    string `json:"identity,omitempty"`
}

// Spec is what an app is made from.
type Spec struct {
	ID         string // /subscriptions/S/resourceGroups/G/providers/Microsoft.App/containerApps/NAME
	Location   string
	Tags       map[string]string
	Secrets    []Secret
	Containers []any          // as in properties.template.containers
	Replicas   int            // of each revision
	Revisions  []string       // that are active; empty: one
	Config     map[string]any // more of properties.configuration
}

// Server implements http.Handler.
type Server struct {
	options Options

	mu     sync.Mutex
	apps   map[string]*app // by ID in lower case
	denied map[string]bool
	closed bool
	made   int // replicas
}

type app struct {
	document  map[string]any // without secrets, state and system data
	secrets   []Secret
	state     string
	modified  time.Time
	modifier  string
	revisions []*revision
}

type revision struct {
	name     string
	created  time.Time
	active   bool
	replicas []*replica
	breaks   int // restarts that are to fail
}

type replica struct {
	name    string
	created time.Time
	ready   bool
	failed  bool
	stop    func()
}

// New is a subscription without apps.
func New(options Options) *Server {
	return &Server{options: options, apps: map[string]*app{}, denied: map[string]bool{}}
}

// Deny has an action refused: "read", "write", "listSecrets/action", "revisions/read", "revisions/restart/action" or
// "revisions/replicas/read", each of Microsoft.App/containerApps.
func (s *Server) Deny(action string, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[action] = denied
}

// Close ends all replicas.
func (s *Server) Close() {
	s.mu.Lock()
	var stops []func()
	s.closed = true
	for _, a := range s.apps {
		for _, r := range a.revisions {
			for _, one := range r.replicas {
				stops = append(stops, one.end())
			}
		}
	}
	s.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

// end takes a replica's end from it, to be called without the lock.
func (r *replica) end() func() {
	stop := r.stop
	r.stop, r.ready = nil, false
	if stop == nil {
		return func() {}
	}
	return stop
}

// Add makes an app, whose replicas run when it returns.
func (s *Server) Add(spec Spec) {
	short := spec.ID[strings.LastIndex(spec.ID, "/")+1:]
	configuration := map[string]any{"activeRevisionsMode": "Single"}
	maps.Copy(configuration, spec.Config)
	a := &app{
		state: "Succeeded", secrets: slices.Clone(spec.Secrets), modified: time.Now(), modifier: "operator",
		document: plain(map[string]any{
			"id": spec.ID, "name": short, "type": "Microsoft.App/containerApps", "location": spec.Location, "tags": spec.Tags,
			"properties": map[string]any{
				"configuration": configuration,
				"template":      map[string]any{"containers": spec.Containers, "scale": map[string]any{"minReplicas": spec.Replicas, "maxReplicas": spec.Replicas}},
			},
		}),
	}
	names := spec.Revisions
	if len(names) == 0 {
		names = []string{short + "--0000001"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps[strings.ToLower(spec.ID)] = a
	for _, name := range names {
		r := &revision{name: name, created: time.Now(), active: true}
		a.revisions = append(a.revisions, r)
		for range spec.Replicas {
			one := s.newReplica(r)
			r.replicas = append(r.replicas, one)
			one.stop, one.failed = s.startNow(a)
			one.ready = !one.failed
		}
	}
}

func (s *Server) newReplica(r *revision) *replica {
	s.made++
	return &replica{name: fmt.Sprintf("%s-%08x", r.name, s.made), created: time.Now()}
}

// startNow starts what a replica of the app runs.
func (s *Server) startNow(a *app) (stop func(), failed bool) {
	if s.options.StartReplica == nil {
		return func() {}, false
	}
	stop, err := s.options.StartReplica(a.document["name"].(string), a.environment())
	return stop, err != nil
}

// environment is what a replica reads now.
func (a *app) environment() map[string]string {
	all := map[string]string{}
	for _, container := range a.containers() {
		variables, _ := container["env"].([]any)
		for _, each := range variables {
			variable, _ := each.(map[string]any)
			name, _ := variable["name"].(string)
			if value, plain := variable["value"].(string); plain {
				all[name] = value
			}
			if ref, ok := variable["secretRef"].(string); ok {
				all[name] = a.secret(ref).Value
			}
		}
	}
	return all
}

func (a *app) containers() (all []map[string]any) {
	properties, _ := a.document["properties"].(map[string]any)
	template, _ := properties["template"].(map[string]any)
	list, _ := template["containers"].([]any)
	for _, each := range list {
		if container, ok := each.(map[string]any); ok {
			all = append(all, container)
		}
	}
	return all
}

func (a *app) secret(name string) Secret {
	for _, secret := range a.secrets {
		if secret.Name == name {
			return secret
		}
	}
	return Secret{}
}

// uses says that a container reads a secret.
func (a *app) uses(name string) bool {
	for _, container := range a.containers() {
		variables, _ := container["env"].([]any)
		for _, each := range variables {
			if variable, _ := each.(map[string]any); variable["secretRef"] == name {
				return true
			}
		}
	}
	return false
}

// plain is a value as JSON has it.
func plain(value any) map[string]any {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	var made map[string]any
	if err := json.Unmarshal(text, &made); err != nil {
		panic(err)
	}
	return made
}

// problem is an error of Azure Resource Manager.
type problem struct {
	status        int
	code, message string
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	status, answer, failed, after := s.serve(request, body)
	s.mu.Unlock()
	for _, do := range after {
		do()
	}
	writer.Header().Set("Content-Type", "application/json; charset=utf-8")
	if failed != nil {
		status, answer = failed.status, map[string]any{"error": map[string]any{"code": failed.code, "message": failed.message}}
	}
	if status == http.StatusAccepted {
		writer.Header().Set("Location", "https://"+request.Host+"/operation-that-nobody-may-read")
		answer = nil
	}
	writer.WriteHeader(status)
	if answer != nil {
		_ = json.NewEncoder(writer).Encode(answer)
	}
}

// serve answers a request; after holds what is to be done without the lock.
func (s *Server) serve(request *http.Request, body []byte) (status int, answer any, failed *problem, after []func()) {
	if request.Header.Get("Authorization") != "Bearer "+s.options.Token {
		return 0, nil, &problem{http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed."}, nil
	}
	if request.URL.Query().Get("api-version") == "" {
		return 0, nil, &problem{http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."}, nil
	}
	path := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	if len(path) < 8 || !strings.EqualFold(path[5], "Microsoft.App") || !strings.EqualFold(path[6], "containerApps") {
		return 0, nil, &problem{http.StatusNotFound, "NotFound", "The resource type could not be found."}, nil
	}
	id, rest := "/"+strings.Join(path[:8], "/"), strings.ToLower(strings.Join(path[8:], "/"))
	action := actionOf(request.Method, rest)
	if action == "" {
		return 0, nil, &problem{http.StatusMethodNotAllowed, "MethodNotAllowed", "The requested method is not supported."}, nil
	}
	if s.denied[action] {
		return 0, nil, &problem{http.StatusForbidden, "AuthorizationFailed", fmt.Sprintf(
			"The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.App/containerApps/%s' over scope '%s' or the scope is invalid.", action, id)}, nil
	}
	a := s.apps[strings.ToLower(id)]
	if a == nil {
		return 0, nil, &problem{http.StatusNotFound, "ResourceNotFound", fmt.Sprintf("The Resource 'Microsoft.App/containerApps/%s' under resource group '%s' was not found.", path[7], path[3])}, nil
	}
	switch action {
	case "read":
		return http.StatusOK, a.shown(), nil, nil
	case "listSecrets/action":
		return http.StatusOK, map[string]any{"value": append([]Secret{}, a.secrets...)}, nil, nil
	case "write":
		failed := s.patch(a, body)
		return http.StatusAccepted, nil, failed, nil
	case "revisions/read":
		return http.StatusOK, map[string]any{"value": a.shownRevisions()}, nil, nil
	}
	for _, r := range a.revisions {
		if strings.EqualFold(r.name, path[9]) {
			if action == "revisions/replicas/read" {
				return http.StatusOK, map[string]any{"value": r.shownReplicas()}, nil, nil
			}
			if !r.active {
				return 0, nil, &problem{http.StatusBadRequest, "RevisionInactive", "The revision is not active."}, nil
			}
			s.restart(a, r)
			return http.StatusOK, "Restarted", nil, nil
		}
	}
	return 0, nil, &problem{http.StatusNotFound, "RevisionNotFound", "The revision was not found."}, nil
}

// actionOf is the action that a request needs, of Microsoft.App/containerApps; "" if it is none that is known.
func actionOf(method, rest string) string {
	parts := strings.Split(rest, "/")
	switch {
	case method == http.MethodGet && rest == "":
		return "read"
	case method == http.MethodPatch && rest == "":
		return "write"
	case method == http.MethodPost && rest == "listsecrets":
		return "listSecrets/action"
	case method == http.MethodGet && rest == "revisions":
		return "revisions/read"
	case method == http.MethodPost && len(parts) == 3 && parts[0] == "revisions" && parts[2] == "restart":
		return "revisions/restart/action"
	case method == http.MethodGet && len(parts) == 3 && parts[0] == "revisions" && parts[2] == "replicas":
		return "revisions/replicas/read"
	}
	return ""
}

// patch merges a document into the app's.
func (s *Server) patch(a *app, body []byte) *problem {
	var change map[string]any
	if err := json.Unmarshal(body, &change); err != nil {
		return &problem{http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid."}
	}
	if a.state == "InProgress" {
		return &problem{http.StatusConflict, "ContainerAppOperationInProgress", "Cannot modify a container app while another operation is in progress."}
	}
	if change["location"] != a.document["location"] {
		return &problem{http.StatusBadRequest, "LocationRequired", "The location property is required for this definition."}
	}
	secrets, given, failed := secretsOf(change)
	if failed != nil {
		return failed
	}
	a.modified, a.modifier, a.state = time.Now(), "a client", "InProgress"
	merge(a.document, change)
	took, end := s.options.Provision, "Succeeded"
	if given {
		for _, old := range a.secrets {
			if a.uses(old.Name) && !slices.ContainsFunc(secrets, func(n Secret) bool { return n.Name == old.Name }) {
				took, end = s.options.Hang, "Failed"
			}
		}
	}
	time.AfterFunc(took, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if a.state = end; given && end == "Succeeded" {
			a.secrets = secrets
		}
	})
	return nil
}

// secretsOf takes the secrets out of a change.
func secretsOf(change map[string]any) (secrets []Secret, given bool, failed *problem) {
	properties, _ := change["properties"].(map[string]any)
	configuration, _ := properties["configuration"].(map[string]any)
	list, given := configuration["secrets"]
	if !given {
		return nil, false, nil
	}
	delete(configuration, "secrets")
	text, _ := json.Marshal(list)
	if err := json.Unmarshal(text, &secrets); err != nil {
		return nil, true, &problem{http.StatusBadRequest, "InvalidRequestContent", "The secrets are no array of objects."}
	}
	for _, secret := range secrets {
		switch {
		case secret.Name == "":
			return nil, true, &problem{http.StatusBadRequest, "ContainerAppSecretInvalid", "Invalid Request: Container app secret(s) has no name."}
		case secret.Value == "" && secret.KeyVaultURL == "":
			return nil, true, &problem{http.StatusBadRequest, "ContainerAppSecretInvalid", "Invalid Request: Container app secret(s) with name(s) '" + secret.Name + "' are invalid: value or keyVaultUrl and identity should be provided."}
		case secret.KeyVaultURL != "" && secret.Identity == "":
			return nil, true, &problem{http.StatusBadRequest, "ContainerAppSecretKeyVaultUrlInvalid", "Identity is required with keyVaultUrl."}
		}
	}
	return secrets, true, nil
}

// merge is a JSON merge patch.
func merge(into, change map[string]any) {
	for name, value := range change {
		nested, isObject := value.(map[string]any)
		was, wasObject := into[name].(map[string]any)
		switch {
		case value == nil:
			delete(into, name)
		case isObject && wasObject:
			merge(was, nested)
		default:
			into[name] = value
		}
	}
}

// restart replaces the replicas of a revision, one after the other: a new one is made, and when it is ready the old one ends.
func (s *Server) restart(a *app, r *revision) {
	fails := r.breaks > 0
	if fails {
		r.breaks--
	}
	for place, old := range slices.Clone(r.replicas) {
		time.AfterFunc(time.Duration(place+1)*s.options.Roll, func() { s.replace(a, r, old, fails) })
	}
}

func (s *Server) replace(a *app, r *revision, old *replica, fails bool) {
	s.mu.Lock()
	i := slices.Index(r.replicas, old)
	if s.closed || i < 0 {
		s.mu.Unlock()
		return
	}
	one := s.newReplica(r)
	r.replicas[i] = one
	stop := old.end()
	s.mu.Unlock()
	stop()
	time.AfterFunc(s.options.Start, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed || !slices.Contains(r.replicas, one) {
			return
		}
		if one.failed = fails; !fails {
			one.stop, one.failed = s.startNow(a)
		}
		one.ready = !one.failed
	})
}
