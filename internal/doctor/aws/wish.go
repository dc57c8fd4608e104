package aws

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// Hold has a secret held, in place of the hold before; nil takes that off. It changes something, and needs
// secretsmanager:DescribeSecret and UpdateSecretVersionStage.
func (c *Checker) Hold(ctx context.Context, secretARN string, hold *rotate.Hold) error {
	return ecs.SaveHold(ctx, c.secrets, secretARN, hold)
}

// Rotate has Secrets Manager rotate a secret now, unless that is held. It changes something, and needs secretsmanager:DescribeSecret
// and RotateSecret.
func (c *Checker) Rotate(ctx context.Context, secretARN string) error {
	hold, err := ecs.ReadHold(ctx, c.secrets, secretARN)
	switch {
	case err != nil:
		return err
	case hold != nil && time.Now().Before(hold.Until):
		return rotate.Errorf(rotate.NotReady, "%w, %s", rotate.ErrHeld, hold.Text()).WithHint("wait, or take the hold off: maia-rotate unhold")
	}
	if _, err := c.secrets.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &secretARN}); err != nil {
		return ecs.Failure("RotateSecret", secretARN, err)
	}
	return nil
}
