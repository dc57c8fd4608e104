package containerapp

import (
	"context"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The variables of a runner's container.
const (
	clientIDVariable     = "OAUTH_CLIENT_ID"
	clientSecretVariable = "OAUTH_CLIENT_SECRET"
)

// runnersOwn are the variables of which a runner has one value.
var runnersOwn = []string{clientIDVariable, clientSecretVariable, "AGENT_ID", "MATILLION_REGION"}

// view is the app as last seen.
type view struct {
	name      string
	location  string
	state     armappcontainers.ContainerAppProvisioningState
	modified  time.Time
	minimum   int32 // replicas of a revision that does not say it
	maximum   int32 // replicas of a revision
	variables map[string]*armappcontainers.EnvironmentVar
	secret    string          // name of the client secret
	vault     map[string]bool // names of the secrets that Key Vault holds, as a GET shows
	secrets   []*armappcontainers.ContainerAppSecret
	listed    time.Time // when the secrets were, by Azure's clock; zero if it did not say
	revisions []revision
	strays    []stray
}

// value is what a pointer points to, or nothing.
func value[T any](pointer *T) T {
	if pointer == nil {
		var none T
		return none
	}
	return *pointer
}

// changing reports whether a change of the app is in progress.
func (v *view) changing() bool {
	switch v.state {
	case armappcontainers.ContainerAppProvisioningStateSucceeded, armappcontainers.ContainerAppProvisioningStateFailed,
		armappcontainers.ContainerAppProvisioningStateCanceled:
		return false
	}
	return true
}

// present is a list without its nil elements.
func present[T any](list []*T) []*T {
	return slices.DeleteFunc(slices.Clone(list), func(one *T) bool { return one == nil })
}

// readApp reads what is to be known of the app but for its secrets and revisions.
func (r *Runner) readApp(ctx context.Context) error {
	found, err := r.apps.Get(ctx, r.id.ResourceGroupName, r.id.Name, nil)
	if err != nil {
		return failure("read app "+r.id.Name, actionRead, err)
	}
	seen := view{name: r.id.Name, location: value(found.Location), maximum: 10, secrets: r.seen.secrets, listed: r.seen.listed,
		revisions: r.seen.revisions, strays: r.seen.strays}
	seen.variables, seen.vault = map[string]*armappcontainers.EnvironmentVar{}, map[string]bool{}
	if found.SystemData != nil {
		seen.modified = r.asked.past(value(found.SystemData.LastModifiedAt))
	}
	properties := value(found.Properties)
	seen.state = value(properties.ProvisioningState)
	seen.hold(properties.Configuration)
	template := value(properties.Template)
	if scale := template.Scale; scale != nil {
		seen.minimum = value(scale.MinReplicas)
		if scale.MaxReplicas != nil {
			seen.maximum = *scale.MaxReplicas
		}
	}
	if value(properties.RunningStatus) == armappcontainers.ContainerAppRunningStatusStopped {
		seen.maximum = 0
	}
	for _, container := range present(template.Containers) {
		if err := seen.take(container); err != nil {
			return err
		}
	}
	reference := seen.variables[clientSecretVariable]
	switch {
	case reference == nil:
		return rotate.Errorf(rotate.Configuration, "no container of app %s has the variable %s", r.id.Name, clientSecretVariable).
			WithHint("check that the app is a runner's")
	case value(reference.SecretRef) == "":
		return rotate.Errorf(rotate.Configuration, "the variable %s of app %s is no reference to a secret", clientSecretVariable, r.id.Name).
			WithHint("put the value into a secret of the app, and refer to it (secretref:NAME)")
	}
	seen.secret = *reference.SecretRef
	if seen.vault[seen.secret] {
		return seen.inVault(seen.secret)
	}
	r.seen = seen
	return nil
}

// hold keeps what a GET shows of the secrets: their names, and which of them Key Vault holds.
func (v *view) hold(configuration *armappcontainers.Configuration) {
	if configuration == nil {
		return
	}
	for _, secret := range configuration.Secrets {
		if secret != nil && value(secret.KeyVaultURL) != "" {
			v.vault[value(secret.Name)] = true
		}
	}
}

// take takes the variables of a container. Two containers may not say different things.
func (v *view) take(container *armappcontainers.Container) error {
	for _, variable := range present(container.Env) {
		name := value(variable.Name)
		if known := v.variables[name]; known != nil && slices.Contains(runnersOwn, name) {
			if value(known.SecretRef) != value(variable.SecretRef) || value(known.Value) != value(variable.Value) {
				return rotate.Errorf(rotate.Configuration, "the containers of app %s do not agree on the variable %s", v.name, name).
					WithHint("give each runner an app of its own")
			}
		}
		v.variables[name] = variable
	}
	return nil
}

// plain is the value of a variable that is no secret.
func (v *view) plain(name string) (string, error) {
	variable := v.variables[name]
	switch {
	case variable == nil:
		return "", rotate.Errorf(rotate.Configuration, "no container of app %s has the variable %s", v.name, name).
			WithHint("check that the app is a runner's")
	case value(variable.SecretRef) != "":
		return "", rotate.Errorf(rotate.Configuration, "the variable %s of app %s is a reference to a secret, expected a plain value",
			name, v.name).
			WithHint("set the value itself, as the vendor's template does")
	}
	return value(variable.Value), nil
}

// credentials are what a replica that starts now reads.
func (v *view) credentials() (maia.Credentials, error) {
	secret, err := v.valueOf(v.secret)
	if err != nil {
		return maia.Credentials{}, err
	}
	variable := v.variables[clientIDVariable]
	if variable == nil {
		return maia.Credentials{}, rotate.Errorf(rotate.Configuration, "no container of app %s has the variable %s", v.name, clientIDVariable).
			WithHint("check that the app is a runner's")
	}
	id := value(variable.Value)
	if name := value(variable.SecretRef); name != "" {
		if id, err = v.valueOf(name); err != nil {
			return maia.Credentials{}, err
		}
	}
	return maia.Credentials{ClientID: id, ClientSecret: maia.NewSecret(secret)}, nil
}
