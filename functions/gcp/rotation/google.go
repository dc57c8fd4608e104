package rotation

import (
	"cmp"
	"context"
	"encoding/base64"
	"hash/crc32"
	"net/http"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/container/v1"
	"google.golang.org/api/option"
	"google.golang.org/api/secretmanager/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Scopes are what a token needs for a cluster to know who calls.
var Scopes = []string{"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email"}

// The permissions of Google Cloud that the function's service account needs. The second one admits it to a control plane.
const (
	GetCluster       = "container.clusters.get"
	ConnectToCluster = "container.clusters.connect"
	AccessSecret     = "secretmanager.versions.access"
)

// googleAPIs is what the function asks Google Cloud for.
type googleAPIs struct {
	options []option.ClientOption // of the clients
	tokens  oauth2.TokenSource
}

// newGoogleAPIs finds the credentials of the function's service account. The context must outlive them.
func newGoogleAPIs(ctx context.Context) (*googleAPIs, error) {
	find := func() (oauth2.TokenSource, error) { return google.DefaultTokenSource(ctx, Scopes...) }
	tokens, err := inTime("credentials of Google Cloud", find)
	if rotate.KindOf(err) == rotate.NotReady {
		return nil, err
	} else if err != nil {
		return nil, rotate.Errorf(rotate.Permission, "there are no credentials of Google Cloud: %w", err).
			WithHint("run the function as a service account; elsewhere, gcloud auth application-default login")
	}
	tokens = timedTokens{tokens}
	return &googleAPIs{options: []option.ClientOption{option.WithTokenSource(tokens)}, tokens: tokens}, nil
}

// WithCredential has the handler use these tokens of Google Cloud, and not those of the place where it runs. The options are for
// the clients of Google's APIs.
func (h *Handler) WithCredential(tokens oauth2.TokenSource, options ...option.ClientOption) {
	tokens = timedTokens{tokens}
	apis := &googleAPIs{options: append([]option.ClientOption{option.WithTokenSource(tokens)}, options...), tokens: tokens}
	h.google = func(context.Context) (*googleAPIs, error) { return apis, nil }
}

// cluster is the configuration to reach a cluster of GKE: by its DNS endpoint if that admits callers from outside, else by its IP
// address.
func (g *googleAPIs) cluster(ctx context.Context, name string) (*rest.Config, error) {
	service, err := container.NewService(ctx, g.options...)
	if err != nil {
		return nil, failure("make a client of the Kubernetes Engine API", "", err)
	}
	found, err := read(ctx, "read cluster "+name, GetCluster, func(ctx context.Context) (*container.Cluster, error) {
		return service.Projects.Locations.Clusters.Get(name).Context(ctx).Do()
	})
	if err != nil {
		return nil, err
	}
	config := &rest.Config{WrapTransport: func(next http.RoundTripper) http.RoundTripper {
		return &oauth2.Transport{Source: g.tokens, Base: next} // and not a token of now, which would expire in the middle of a run
	}}
	if endpoints := found.ControlPlaneEndpointsConfig; endpoints != nil && endpoints.DnsEndpointConfig != nil {
		if dns := endpoints.DnsEndpointConfig; dns.AllowExternalTraffic && dns.Endpoint != "" {
			config.Host = "https://" + dns.Endpoint // a public authority has signed its certificate
			return config, nil
		}
	}
	var authority []byte
	if found.MasterAuth != nil {
		authority, _ = base64.StdEncoding.DecodeString(found.MasterAuth.ClusterCaCertificate) // a broken one counts as none
	}
	if len(authority) == 0 || found.Endpoint == "" {
		return nil, rotate.Errorf(rotate.NotReady, "cluster %s has no endpoint yet, or no certificate (status %s)", name, found.Status).
			WithHint("wait until it is running")
	}
	config.Host, config.CAData = "https://"+found.Endpoint, authority
	return config, nil
}

// kubeconfig is the configuration of the current context of a file.
func kubeconfig(path string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, settings.Errorf("%s is %q, which cannot be used: %w", envKubeconfig, path, err)
	}
	return config, nil
}

// apiCredential reads the credential of the Maia API: the JSON {"client_id":…,"client_secret":…}.
func (g *googleAPIs) apiCredential(ctx context.Context, version string) (maia.Credentials, error) {
	service, err := secretmanager.NewService(ctx, g.options...)
	if err != nil {
		return maia.Credentials{}, failure("make a client of the Secret Manager API", "", err)
	}
	found, err := read(ctx, "read the Maia API credential in "+version, AccessSecret,
		func(ctx context.Context) (*secretmanager.AccessSecretVersionResponse, error) {
			return service.Projects.Secrets.Versions.Access(version).Context(ctx).Do()
		})
	if err != nil {
		return maia.Credentials{}, err
	}
	payload := cmp.Or(found.Payload, new(secretmanager.SecretPayload))
	data, err := base64.StdEncoding.DecodeString(payload.Data)
	if sum := payload.DataCrc32c; err != nil || sum != 0 && sum != int64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))) {
		return maia.Credentials{}, rotate.Errorf(rotate.NotReady, "the Maia API credential in %s was damaged on its way", version).
			WithHint("nothing: the next call reads it again")
	}
	credentials, err := maia.ParseDocument(data)
	if err != nil {
		return maia.Credentials{}, settings.Errorf("the Maia API credential in %s %w", version, err).
			WithHint(`store {"client_id":"…","client_secret":"…"} in it`)
	}
	return credentials, nil
}
