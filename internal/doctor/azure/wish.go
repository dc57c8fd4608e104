package azure

import (
	"context"
	"fmt"
	"io"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// Wish changes what operators have asked for of the runners of a function app, see [rotation.Handler.Wish]. It is the one method that
// changes something: blobs of the container with the locks and notes.
func (c *Checker) Wish(ctx context.Context, id string, agentIDs []string, change func(*rotate.Wishes)) (fleet.Result, error) {
	r, err := c.begin(id)
	if err != nil {
		return fleet.Result{}, err
	}
	switch err := r.readSettings(ctx); {
	case missing(err):
		return fleet.Result{}, fmt.Errorf("there is no function app %s", id)
	case err != nil:
		return fleet.Result{}, err
	}
	environ := r.environ(nil) // without the API credential: Maia is not asked
	config, err := rotation.ParseConfig(environ)
	if err != nil {
		return fleet.Result{}, err
	}
	if err := r.trustworthy(config); err != nil {
		return fleet.Result{}, err
	}
	handler := rotation.New(environ, io.Discard)
	handler.WithCredential(c.Credential, c.Transport)
	return handler.Wish(ctx, agentIDs, change)
}
