package containerapps

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// Options are the settings of a Server.
type Options struct {
	Token     string        // that is accepted
	Provision time.Duration // how long a PATCH is in progress
	Hang      time.Duration // how long one that hangs is, before it fails
	Start     time.Duration // from the creation of a replica until its containers are ready
	Roll      time.Duration // from a restart until the new replica of each place is created, one after the other
	InPlace   bool          // a restart restarts the containers of each replica, instead of replacing it
	SameNames bool          // the replica that replaces another has its name
	Recreate  bool          // a restart ends all replicas of a revision before it creates the first new one
	Linger    time.Duration // how long a replica that was replaced is shown still, not ready
	FailLate  bool          // a change that ends as failed has changed the secrets all the same
	PageSize  int           // of a list; 0: 25
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
	Revisions  []string       // that are active and as the app's template; empty, and no others: one
	Others     []Revision     // in addition to them
	Config     map[string]any // more of properties.configuration
}

// Revision is one that is not as the app's template.
type Revision struct {
	Name       string
	Inactive   bool
	Containers []any // nil: the app's
	Replicas   int
}

// Server implements http.Handler: Azure Resource Manager with the Container Apps of any subscription. Its calls are
// recorded by operations, such as "write" or "revisions/restart/action", with the action that each needs.
type Server struct {
	wire.Traffic
	options Options

	mu     sync.Mutex
	groups map[string]bool // by ID in lower case
	apps   map[string]*app // by ID in lower case
	order  []*app
	closed bool
	made   int // replicas

	played   map[string]bool // quirks, by name
	hastened int             // so many times faster are the rollouts of quirks; 0 is 1
	calls    int             // so far
	refusals int             // of restarts of the first revision, to come
}

type app struct {
	id        string
	document  map[string]any // without secrets, state and system data
	secrets   []Secret
	state     string
	stopped   bool
	locked    bool
	modified  time.Time
	modifier  string
	fails     int // updates that are to fail
	past      []shot
	revisions []*revision
}

type revision struct {
	name       string
	created    time.Time
	active     bool
	containers []any
	minimum    int
	replicas   []*replica
	leaving    []*replica // that were replaced
	restarts   int        // ordered so far
	restarted  time.Time  // the last of them
	breaks     int        // of those to come that are to fail
}

type replica struct {
	name     string
	created  time.Time
	restarts int
	ready    bool
	failed   bool
	stop     func()
}

// New is a Resource Manager without apps.
func New(options Options) *Server {
	if options.PageSize == 0 {
		options.PageSize = 25
	}
	return &Server{options: options, apps: map[string]*app{}, groups: map[string]bool{}, played: map[string]bool{}}
}

// Close ends all replicas, and what is under way.
func (s *Server) Close() {
	s.End()
	s.mu.Lock()
	var stops []func()
	s.closed = true
	for _, a := range s.order {
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

// AddGroup makes a resource group without apps.
func (s *Server) AddGroup(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[strings.ToLower(id)] = true
}

// Add makes an app, and its resource group. Its replicas run when it returns.
func (s *Server) Add(spec Spec) {
	path := strings.Split(spec.ID, "/")
	if len(path) != 9 {
		panic("containerapps: " + spec.ID + " is not the resource ID of an app")
	}
	s.AddGroup(strings.Join(path[:5], "/"))
	short := path[8]
	configuration := map[string]any{"activeRevisionsMode": "Single"}
	if len(spec.Revisions)+len(spec.Others) > 1 {
		configuration["activeRevisionsMode"] = "Multiple"
	}
	maps.Copy(configuration, spec.Config)
	a := &app{
		id: spec.ID, state: "Succeeded", secrets: slices.Clone(spec.Secrets), modified: time.Now(), modifier: "operator",
		document: plain(map[string]any{
			"id": spec.ID, "name": short, "type": "Microsoft.App/containerApps", "location": spec.Location, "tags": spec.Tags,
			"properties": map[string]any{
				"configuration": configuration,
				"template": map[string]any{"containers": spec.Containers,
					"scale": map[string]any{"minReplicas": spec.Replicas, "maxReplicas": spec.Replicas}},
			},
		}),
	}
	var all []Revision
	for _, name := range spec.Revisions {
		all = append(all, Revision{Name: name, Replicas: spec.Replicas})
	}
	if all = append(all, spec.Others...); len(all) == 0 {
		all = []Revision{{Name: short + "--0000001", Replicas: spec.Replicas}}
	}
	for _, one := range all {
		r := &revision{name: one.Name, created: time.Now(), active: !one.Inactive, containers: one.Containers, minimum: one.Replicas}
		if r.containers == nil {
			r.containers = a.containers()
		}
		a.revisions = append(a.revisions, r)
	}
	s.mu.Lock()
	s.apps[strings.ToLower(spec.ID)] = a
	s.order = append(s.order, a)
	s.mu.Unlock()
	for i, r := range a.revisions {
		if r.active {
			s.scale(a, r, all[i].Replicas)
		}
	}
}

// scale gives a revision so many replicas, at once.
func (s *Server) scale(a *app, r *revision, replicas int) {
	var stops []func()
	var made []*replica
	s.mu.Lock()
	for len(r.replicas) > replicas {
		last := len(r.replicas) - 1
		stops = append(stops, r.replicas[last].end())
		r.replicas = r.replicas[:last]
	}
	for len(r.replicas) < replicas {
		one := s.newReplica(r)
		made, r.replicas = append(made, one), append(r.replicas, one)
	}
	r.minimum = replicas
	s.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	for _, one := range made {
		s.start(a, r, one, false)
	}
}

// environment is what a replica of a revision reads now.
func (a *app) environment(r *revision) map[string]string {
	all := map[string]string{}
	for _, variable := range variables(r.containers) {
		name, _ := variable["name"].(string)
		if value, plain := variable["value"].(string); plain {
			all[name] = value
		}
		if ref, ok := variable["secretRef"].(string); ok {
			all[name] = a.secret(ref).Value
		}
	}
	return all
}

func (a *app) containers() []any {
	properties, _ := a.document["properties"].(map[string]any)
	template, _ := properties["template"].(map[string]any)
	list, _ := template["containers"].([]any)
	return list
}

// variables are those of all containers.
func variables(containers []any) (all []map[string]any) {
	for _, each := range containers {
		container, _ := each.(map[string]any)
		list, _ := container["env"].([]any)
		for _, one := range list {
			if variable, ok := one.(map[string]any); ok {
				all = append(all, variable)
			}
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

// uses reports whether the app or an active revision reads a secret.
func (a *app) uses(name string) bool {
	reads := func(containers []any) bool {
		return slices.ContainsFunc(variables(containers), func(variable map[string]any) bool { return variable["secretRef"] == name })
	}
	return reads(a.containers()) || slices.ContainsFunc(a.revisions, func(r *revision) bool { return r.active && reads(r.containers) })
}

func plain(value any) map[string]any {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("containerapps: %v", err))
	}
	var made map[string]any
	if err := json.Unmarshal(text, &made); err != nil {
		panic(fmt.Sprintf("containerapps: %v", err))
	}
	return made
}
