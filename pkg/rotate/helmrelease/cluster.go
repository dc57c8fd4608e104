package helmrelease

import (
	"fmt"
	"net/http"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// By default Helm's SDK names the executable as field manager, and the next upgrade by the helm command would find foreign fields.
func init() { kube.ManagedFieldsManager = "helm" }

// maxHistory is how many revisions are kept, as the helm command does.
const maxHistory = 10

// cluster is what Helm's SDK wants to know of a cluster: genericclioptions.RESTClientGetter without a kubeconfig file.
type cluster struct {
	config    *rest.Config
	namespace string
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
	charts    *chartPair // of the upgrade at work, whichever client of Helm's it uses
}

func newCluster(config *rest.Config, namespace string, fence *fence) (*cluster, *kubernetes.Clientset, error) {
	config = rest.CopyConfig(config)
	tenant, err := newTenant(config, namespace)
	if err != nil {
		return nil, nil, err
	}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return lastAnswer{next} })
	config.Wrap(fence.wrap)
	config.Wrap(tenant.wrap)
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	cached := memory.NewMemCacheClient(clients.Discovery())
	return &cluster{config, namespace, cached, restmapper.NewDeferredDiscoveryRESTMapper(cached), new(chartPair)}, clients, nil
}

// ToRESTConfig implements genericclioptions.RESTClientGetter. Its callers change what they get.
func (c *cluster) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(c.config), nil }

func (c *cluster) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return c.discovery, nil
}

func (c *cluster) ToRESTMapper() (meta.RESTMapper, error) { return c.mapper, nil }

func (c *cluster) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return clientcmd.NewDefaultClientConfig(*api.NewConfig(), &clientcmd.ConfigOverrides{Context: api.Context{Namespace: c.namespace}})
}

// helm is the configuration of Helm's actions. It logs nothing, for Helm's log may quote what it renders.
func (c *cluster) helm(clients *kubernetes.Clientset) *action.Configuration {
	silent := func(string, ...any) {}
	client := kube.New(c)
	client.Namespace, client.Log = c.namespace, silent
	records := driver.NewSecrets(boundedSecrets{clients.CoreV1().Secrets(c.namespace)})
	records.Log = silent
	stored := storage.Init(ownCharts{records, c.charts})
	stored.MaxHistory, stored.Log = maxHistory, silent
	return &action.Configuration{RESTClientGetter: c, KubeClient: client, Releases: stored, Log: silent}
}

// rehearsal is a client of Helm's without effect. It lets only reads through, and patches as dry runs, which the server tries and
// does not keep. The objects that it builds are bound to it.
type rehearsal struct {
	helm *kube.Client
	lost error // of the last call that got no answer; Helm makes a text of it
}

func (c *cluster) rehearsal() *rehearsal {
	r := &rehearsal{}
	config := rest.CopyConfig(c.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return withoutEffect{r, next} })
	r.helm = kube.New(&cluster{config, c.namespace, c.discovery, c.mapper, c.charts})
	r.helm.Namespace, r.helm.Log = c.namespace, func(string, ...any) {}
	return r
}

type withoutEffect struct {
	rehearsal *rehearsal
	next      http.RoundTripper
}

func (w withoutEffect) RoundTrip(request *http.Request) (*http.Response, error) {
	switch request.Method {
	case http.MethodGet:
	case http.MethodPatch:
		request = request.Clone(request.Context())
		query := request.URL.Query()
		query.Set("dryRun", metav1.DryRunAll)
		request.URL.RawQuery = query.Encode()
	default:
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, fmt.Errorf("an upgrade would %s %s", request.Method, request.URL.Path)
	}
	response, err := w.next.RoundTrip(request)
	if err != nil {
		w.rehearsal.lost = err
	}
	return response, err
}
