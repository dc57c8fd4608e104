package azure

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

const vaultVersion = "7.4"

var reference = regexp.MustCompile(`(?i)^@Microsoft\.KeyVault\((.*)\)$`)

func isReference(value string) bool {
	return strings.HasPrefix(strings.ToLower(value), "@microsoft.keyvault(")
}

// vaultDomains are the domains of the vaults in each cloud, by the URL of its Resource Manager. An address on this machine counts
// as the public cloud.
var vaultDomains = map[string]string{
	"https://management.azure.com":         "vault.azure.net",
	"https://management.usgovcloudapi.net": "vault.usgovcloudapi.net",
	"https://management.chinacloudapi.cn":  "vault.azure.cn",
}

func (r *run) vaultDomain() string {
	return cmp.Or(vaultDomains[strings.ToLower(r.manager.url)], "vault.azure.net")
}

// secretURL is the address of the secret that a reference names. It must be Key Vault's, or on this machine, for a token of the
// operator's is sent there.
func (r *run) secretURL(value string) (string, error) {
	const form = "expected @Microsoft.KeyVault(SecretUri=https://VAULT.vault.azure.net/secrets/NAME)"
	found := reference.FindStringSubmatch(value)
	if found == nil {
		return "", fmt.Errorf("it does not end in ), %s", form)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(found[1], ";") {
		name, text, _ := strings.Cut(part, "=")
		parts[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(text)
	}
	address := parts["secreturi"]
	if address == "" {
		if parts["vaultname"] == "" || parts["secretname"] == "" {
			return "", fmt.Errorf("it names no secret, %s", form)
		}
		address = fmt.Sprintf("https://%s.%s/secrets/%s/%s", parts["vaultname"], r.vaultDomain(), parts["secretname"], parts["secretversion"])
	}
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.RawQuery != "" || !strings.HasPrefix(u.Path, "/secrets/") {
		return "", fmt.Errorf("its SecretUri is no address of a secret, %s", form)
	}
	if !maia.Loopback(u.Hostname()) &&
		(u.Scheme != "https" || u.Port() != "" || !strings.HasSuffix(strings.ToLower(u.Hostname()), "."+r.vaultDomain())) {
		return "", fmt.Errorf("its SecretUri is not on https://VAULT.%s", r.vaultDomain())
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u.String(), nil
}

// fromVault reads what the settings refer to, with the rights of the operator.
func (r *run) fromVault(ctx context.Context) (map[string]maia.Secret, error) {
	values := map[string]maia.Secret{}
	for _, name := range slices.Sorted(maps.Keys(r.settings)) {
		if !strings.HasPrefix(name, "MAIA_") || !isReference(r.settings[name]) {
			continue
		}
		address, err := r.secretURL(r.settings[name])
		if err != nil {
			return nil, fmt.Errorf("%s is a Key Vault reference that cannot be followed: %w", name, err)
		}
		var secret struct {
			Value maia.Secret `json:"value"`
		}
		options := r.manager.options.ClientOptions
		options.InsecureAllowCredentialWithHTTP = strings.HasPrefix(address, "http://") // loopback, see above
		pipeline := runtime.NewPipeline("maia-rotate", "v1.0.0", runtime.PipelineOptions{PerRetry: []policy.Policy{
			runtime.NewBearerTokenPolicy(r.checker.Credential, []string{"https://" + r.vaultDomain() + "/.default"},
				&policy.BearerTokenOptions{InsecureAllowCredentialWithHTTP: options.InsecureAllowCredentialWithHTTP}),
		}}, &options)
		err = failure("Microsoft.KeyVault/vaults/secrets/getSecret/action", ask(ctx, pipeline, http.MethodGet,
			address+"?api-version="+vaultVersion, &secret))
		if err != nil {
			return nil, fmt.Errorf("the value of %s is in Key Vault, and could not be read there: %w", name, err)
		}
		values[name] = secret.Value
	}
	return values, nil
}

// checkReferences checks whether the references to Key Vault were resolved.
func (r *run) checkReferences(ctx context.Context) {
	const (
		check  = "key-vault"
		action = "Microsoft.Web/sites/config/read"
	)
	if !slices.ContainsFunc(slices.Collect(maps.Values(r.settings)), isReference) {
		return
	}
	type status struct {
		Name       string `json:"name"`
		Properties struct {
			Status  string `json:"status"`
			Details string `json:"details"`
		} `json:"properties"`
	}
	found, err := list[status](ctx, r.manager, r.id+"/config/configreferences/appsettings", webVersion, "", action)
	if err != nil {
		r.report.Warn(check, checkWith+action, "whether Azure resolves the Key Vault references could not be tested: %v", err)
		return
	}
	resolved := map[string]bool{}
	for _, one := range found {
		name, status := one.Name[strings.LastIndex(one.Name, "/")+1:], one.Properties.Status
		if !isReference(r.settings[name]) {
			continue
		}
		resolved[name] = true
		if !strings.EqualFold(status, "Resolved") {
			r.report.Problem(check, r.vaultHint(status), "Azure does not resolve the reference of %s: %s", name,
				strings.TrimSuffix(status+": "+one.Properties.Details, ": "))
		}
	}
	var names []string
	for name, value := range r.settings {
		if isReference(value) && !resolved[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	switch {
	case len(names) > 0:
		r.report.Warn(check, "wait a few minutes after a change of the settings, and check again; if a reference is not resolved, the "+
			"function's log says so", "Azure does not say yet what came of the reference of %s", strings.Join(names, ", "))
	case !r.report.Found("problem", check):
		r.report.OK(check, "Azure resolves what the settings refer to (%s)", strings.Join(slices.Sorted(maps.Keys(resolved)), ", "))
	}
}

// vaultHint is what to do about a status of a reference.
func (r *run) vaultHint(status string) string {
	restart := ", and restart the app:\naz functionapp restart " + r.flags()
	switch status {
	case "AccessToKeyVaultDenied", "UnauthorizedClient":
		return "give the app's identity the role Key Vault Secrets User on the secret, let the vault's firewall let the app in" + restart
	case "SecretNotFound", "SecretVersionNotFound", "VaultNotFound", "InvalidSyntax":
		return "correct the reference, or bring the secret back" + restart
	case "MSINotEnabled":
		return "turn on the app's system-assigned identity, give it the role Key Vault Secrets User on the secret" + restart
	}
	return "check the reference, that the secret exists and is enabled, and that the app's identity may read it" + restart
}
