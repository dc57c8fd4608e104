package aws

import (
	"context"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// Hold has a secret held, in place of the hold before; nil takes that off. It is the one method that changes something, and needs
// secretsmanager:DescribeSecret and UpdateSecretVersionStage.
func (c *Checker) Hold(ctx context.Context, secretARN string, hold *rotate.Hold) error {
	return ecs.SaveHold(ctx, c.secrets, secretARN, hold)
}
