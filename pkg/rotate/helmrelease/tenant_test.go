package helmrelease

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"
)

// TestRequestsOutsideTheNamespaceDoNotLeave: what a chart asks for, and what Helm changes, is of the release's namespace.
func TestRequestsOutsideTheNamespaceDoNotLeave(t *testing.T) {
	for name, test := range map[string]struct {
		path    string
		refused bool
	}{
		"kinds of the core group":       {"/api", false},
		"kinds of a version":            {"/api/v1", false},
		"groups":                        {"/apis", false},
		"a group":                       {"/apis/apps", false},
		"kinds of a group":              {"/apis/apps/v1?timeout=32s", false},
		"version":                       {"/version", false},
		"schemas":                       {"/openapi/v3/apis/apps/v1", false},
		"a question of right":           {"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", false},
		"a Secret":                      {"/api/v1/namespaces/runners/secrets/a", false},
		"all Secrets":                   {"/api/v1/namespaces/runners/secrets?labelSelector=owner%3Dhelm", false},
		"a Deployment":                  {"/apis/apps/v1/namespaces/runners/deployments/a", false},
		"a Secret of others":            {"/api/v1/namespaces/others/secrets/a", true},
		"a Deployment of others":        {"/apis/apps/v1/namespaces/others/deployments/a", true},
		"the Secrets of all":            {"/api/v1/secrets", true},
		"the Deployments of all":        {"/apis/apps/v1/deployments", true},
		"the namespace itself":          {"/api/v1/namespaces/runners", true},
		"a node":                        {"/api/v1/nodes/a", true},
		"a ClusterRole":                 {"/apis/rbac.authorization.k8s.io/v1/clusterroles/a", true},
		"a question for another user":   {"/apis/authorization.k8s.io/v1/subjectaccessreviews", true},
		"a way back":                    {"/api/v1/namespaces/runners/../others/secrets/a", true},
		"a way back that is escaped":    {"/api/v1/namespaces/runners/%2e%2e/others/secrets/a", true},
		"a name that is a path":         {"/api/v1/namespaces/runners%2Fothers/secrets/a", true},
		"a proxy of a node":             {"/api/v1/nodes/a/proxy/pods", true},
		"metrics":                       {"/metrics", true},
		"the root":                      {"/", true},
		"a name with the namespace's":   {"/api/v1/namespaces/runners2/secrets/a", true},
		"discovery of another's prefix": {"/other/api/v1", true},
	} {
		for _, prefix := range []string{"", "/clusters/c-1"} {
			t.Run(name+prefix, func(t *testing.T) {
				here, err := newTenant(&rest.Config{Host: "https://cluster.test" + prefix}, "runners")
				if err != nil {
					t.Fatal(err)
				}
				response, err := here.wrap(through{}).RoundTrip(httptest.NewRequest(http.MethodGet,
					"https://cluster.test"+prefix+test.path, nil))
				if err == nil {
					_ = response.Body.Close()
				}
				var refused *outsideError
				if errors.As(err, &refused) != test.refused {
					t.Errorf("the error is %v, expected a refusal: %t", err, test.refused)
				}
			})
		}
	}
}
