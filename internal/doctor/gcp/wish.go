package gcp

import (
	"context"
	"io"

	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// Wish changes what operators have asked for of the runners of a function, see [rotation.Handler.Wish]. It is the one method that
// changes something: the Leases of the releases. It acts as the operator, also where Impersonate is set.
func (c *Checker) Wish(ctx context.Context, name string, agentIDs []string, change func(*rotate.Wishes)) (fleet.Result, error) {
	function, err := c.function(ctx, name)
	if err != nil {
		return fleet.Result{}, err
	}
	handler := rotation.New(c.environ(function.GetServiceConfig()), io.Discard)
	handler.WithCredential(c.Tokens, c.Options...)
	return handler.Wish(ctx, agentIDs, change)
}
