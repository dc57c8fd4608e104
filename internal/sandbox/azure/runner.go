package azure

import (
	"fmt"
	"sync"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// Group is the ID of the resource group of every World.
const Group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/matillion"

// The runner of every World, named as the vendor's templates name things.
const (
	AppName = "matillion-runner"
	App     = Group + "/providers/Microsoft.App/containerApps/" + AppName
	Secret  = "matillion-client-secret"
	// Replicas is how many there are, at least and at most.
	Replicas = 2

	clientIDSecret = "matillion-client-id"
)

// Next to it there are these.
const (
	otherApp    = Group + "/providers/Microsoft.App/containerApps/dashboard"
	otherSecret = "registry-password" // of the runner's app, and another writer's
	vaultSecret = "proxy-certificate" // a reference to Key Vault
	vaultURL    = "https://sandbox.vault.azure.net/secrets/proxy-certificate"
)

// runnerApp is the runner's, as the vendor's templates make it, with more secrets than its own.
func runnerApp(clientSecret, other string) containerapps.Spec {
	plain := func(name, value string) any { return map[string]any{"name": name, "value": value} }
	secret := func(name, ref string) any { return map[string]any{"name": name, "secretRef": ref} }
	return containerapps.Spec{
		ID: App, Location: "West Europe", Replicas: Replicas, Revisions: []string{AppName + "--0000001"},
		Tags: map[string]string{"team": "data platform", Tag: tagValue},
		Secrets: []containerapps.Secret{
			{Name: clientIDSecret, Value: sandbox.ClientID},
			{Name: otherSecret, Value: other},
			{Name: Secret, Value: clientSecret},
			{Name: vaultSecret, KeyVaultURL: vaultURL, Identity: "system"},
		},
		Containers: []any{map[string]any{
			"name": "runner", "image": "matillion.azurecr.io/cloud-agent:current", "resources": map[string]any{"cpu": 1.0, "memory": "4Gi"},
			"env": []any{
				plain("ACCOUNT_ID", "sandbox"), plain("AGENT_ID", sandbox.AgentID), plain("MATILLION_REGION", "eu1"), plain("CLOUD_PROVIDER", "AZURE"),
				secret("OAUTH_CLIENT_ID", clientIDSecret), secret("OAUTH_CLIENT_SECRET", Secret), secret("PROXY_CERTIFICATE", vaultSecret),
			},
		}},
	}
}

// fleet is the runner's replicas, each with its connection to Maia.
type fleet struct {
	maia    *sandbox.Maia
	journal *sandbox.Journal

	mu       sync.Mutex
	started  int
	wanted   int // replicas
	replicas map[int]replica
}

type replica struct {
	secret   string // that it was started with
	instance *maiatest.Instance
}

// start is what a replica does when it starts: it logs in with what it read.
func (f *fleet) start(app string, env map[string]string) (stop func(), err error) {
	if app != AppName {
		return func() {}, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started++
	number := f.started
	f.journal.Add(sandbox.FromContainerApps, "replica-started", "replica %d started", number)
	secret := env["OAUTH_CLIENT_SECRET"]
	instance, err := f.maia.LogIn(fmt.Sprint("replica ", number), env["AGENT_ID"], env["OAUTH_CLIENT_ID"], secret)
	if err != nil {
		return nil, err
	}
	f.replicas[number] = replica{secret, instance}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.replicas, number)
		instance.Close()
		f.journal.Add(sandbox.FromContainerApps, "replica-stopped", "replica %d stopped", number)
	}, nil
}

// want has so many more replicas be wanted.
func (f *fleet) want(more int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted += more
}

// each reports whether all replicas are there, and that something is true of each.
func (f *fleet) each(is func(replica) bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.replicas {
		if !is(one) {
			return false
		}
	}
	return len(f.replicas) == f.wanted
}

func (f *fleet) connected() bool {
	return f.each(func(one replica) bool { return one.instance.Connected() })
}

// count is how many replicas have ever started.
func (f *fleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.started
}
