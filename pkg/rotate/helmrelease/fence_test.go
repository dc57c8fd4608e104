package helmrelease

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// through is a transport that lets everything through.
type through struct{}

func (through) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestFence(t *testing.T) {
	const here = "/api/v1/namespaces/runners/"
	for name, test := range map[string]struct {
		method, path string
		fenced       bool
	}{
		"a read":              {http.MethodGet, here + "secrets/a", false},
		"a create":            {http.MethodPost, here + "secrets", true},
		"an update":           {http.MethodPut, here + "secrets/a", true},
		"a patch":             {http.MethodPatch, "/apis/apps/v1/namespaces/runners/deployments/a?fieldManager=helm", true},
		"a delete":            {http.MethodDelete, here + "secrets/a", true},
		"a dry run":           {http.MethodPatch, here + "secrets/a?dryRun=All", false},
		"the Lease":           {http.MethodPut, "/apis/coordination.k8s.io/v1/namespaces/runners/leases/a", false},
		"a question of right": {http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var f fence
				passes := func() bool {
					response, err := f.wrap(through{}).RoundTrip(httptest.NewRequest(test.method, test.path, nil))
					if err != nil {
						if !errors.Is(err, errFenced) {
							t.Errorf("the error is %v", err)
						}
						return false
					}
					return response.Body.Close() == nil
				}
				if passes() == test.fenced {
					t.Error("without a lock")
				}
				f.set(time.Now().Add(leaseDuration))
				if !passes() {
					t.Error("it does not pass with the lock")
				}
				time.Sleep(leaseDuration - fenceMargin)
				if passes() == test.fenced {
					t.Error("when the lock is about to end")
				}
				f.set(time.Time{})
				if passes() == test.fenced {
					t.Error("when the lock was given back")
				}
			})
		})
	}
}
