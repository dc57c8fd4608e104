package helmrelease

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate/lease"
)

// through is a transport that lets everything through.
type through struct{}

func (through) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

// notRenewed is the backend of a lock that cannot be renewed.
type notRenewed struct{}

func (notRenewed) Read(context.Context, bool) (lease.State, error) { return lease.State{}, nil }
func (notRenewed) Renew(context.Context) (since time.Time, err error) {
	return since, errors.New("away")
}
func (notRenewed) Release(context.Context) {}

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
				lock := lease.New(notRenewed{})
				f := fence{lock}
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
				if err := lock.Take(t.Context(), func(context.Context) (time.Time, error) { return time.Now(), nil }); err != nil {
					t.Fatal(err)
				}
				if !passes() {
					t.Error("it does not pass with the lock")
				}
				time.Sleep(lease.Duration - fenceMargin)
				if passes() == test.fenced {
					t.Error("when the lock is about to end")
				}
				lock.Release(t.Context())
				if passes() == test.fenced {
					t.Error("when the lock was given back")
				}
			})
		})
	}
}
