package helmrelease

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"helm.sh/helm/v3/pkg/kube"
	"k8s.io/client-go/rest"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// tenant lets no request pass that is about something outside the release's own namespace. Whoever may change a release decides
// what its chart reads from the cluster and where its objects are, and the function may have rights in other namespaces, for
// example those of other runners: one tenant would read and write with the rights of all. What is about no object passes: which
// kinds the cluster knows, its version, and what the function itself may do.
type tenant struct {
	namespace string
	prefix    string // of the paths of the API server, which may be behind a proxy
}

func newTenant(config *rest.Config, namespace string) (tenant, error) {
	host, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return tenant{}, err
	}
	return tenant{namespace: namespace, prefix: strings.TrimSuffix(host.Path, "/")}, nil
}

func (t tenant) wrap(next http.RoundTripper) http.RoundTripper { return confined{t, next} }

type confined struct {
	tenant tenant
	next   http.RoundTripper
}

func (c confined) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := c.tenant.admit(request.URL); err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	return c.next.RoundTrip(request)
}

// outsideError is the refusal of a request that is about something outside the release's namespace.
type outsideError struct{ what, namespace string }

func (e *outsideError) Error() string {
	return fmt.Sprintf("%s is outside the release's namespace %s", e.what, e.namespace)
}

// admit is an error if an address is that of something outside the namespace.
func (t tenant) admit(address *url.URL) error {
	// The path as the server reads it: %2F is no separator to it, and dots are none of ours.
	path, inside := strings.CutPrefix(address.EscapedPath(), t.prefix+"/")
	parts := strings.Split(path, "/")
	refused := &outsideError{what: "path " + address.Path, namespace: t.namespace}
	for _, part := range parts {
		if name, err := url.PathUnescape(part); !inside || err != nil || name == "." || name == ".." || strings.Contains(name, "/") {
			return refused
		}
	}
	var resource []string // what follows the group and version
	switch parts[0] {
	case "version", "openapi":
		return nil
	case "api":
		resource = parts[min(2, len(parts)):]
	case "apis":
		resource = parts[min(3, len(parts)):]
	default:
		return refused
	}
	switch {
	case len(resource) == 0: // discovery
		return nil
	case path == "apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
		return nil
	case resource[0] != "namespaces" || len(resource) < 3: // of the cluster, or of all namespaces
		refused.what = strings.Join(resource, " ") + ", which is of the cluster or of all namespaces,"
		return refused
	case resource[1] != t.namespace:
		refused.what = fmt.Sprintf("%s in namespace %s", strings.Join(resource[2:], " "), resource[1])
		return refused
	}
	return nil
}

// outside is the error of a chart that asks for, or of a release that has, something outside its namespace; nil if err is none.
func (r *Runner) outside(err error) error {
	var refused *outsideError
	if !errors.As(err, &refused) {
		return nil
	}
	return rotate.Errorf(rotate.Configuration, "release %s: %w", r.config.Release, refused).
		WithHint("have its chart read and render nothing outside namespace %s; what others need too belongs into a release of its own",
			r.config.Namespace)
}

// checkTenancy refuses a release with objects outside its namespace: an upgrade would change them with the function's rights.
func (r *Runner) checkTenancy(objects kube.ResourceList) error {
	for _, one := range objects {
		where := "in namespace " + one.Namespace
		switch {
		case one.Namespace == r.config.Namespace:
			continue
		case one.Namespace == "":
			where = "of the cluster"
		}
		return rotate.Errorf(rotate.Configuration,
			"release %s has %s %s, which is %s: only what is in the release's own namespace %s is changed",
			r.config.Release, one.Mapping.GroupVersionKind.Kind, one.Name, where, r.config.Namespace).
			WithHint("move it into a release of its own, and take it out of this one's chart or values")
	}
	return nil
}
