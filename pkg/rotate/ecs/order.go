package ecs

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	// ordersLag is how long DescribeServices may show a service as it was before UpdateService.
	ordersLag = 2 * time.Minute
	// orderMargin is how much later than a noted order a deployment must be to be certainly newer: the note has the time of the
	// function's clock, the deployment that of ECS.
	orderMargin = 5 * time.Second
)

// order is a deployment of one service that this process ordered.
type order struct {
	id      string           // as in a note
	created time.Time        // by ECS's clock
	reads   maia.Fingerprint // the secret that its tasks read
	shown   time.Time        // when it was ordered, or last shown by a read
}

// orders are the restarts that stand for a secret: those of this process, and those in the note.
type orders struct {
	secret    maia.Fingerprint // that tasks read when they start
	noted     *rotate.Order    // of that secret; nil if the note has none
	unclaimed []string         // noted, and shown by no service: a read may lag, and whose they are is not known
}

// ordersFor are the restarts for the secret that is stored.
func ordersFor(secret maia.Fingerprint, note rotate.Note, services []*service) orders {
	all := orders{secret: secret}
	if note.Ordered == nil || note.Ordered.For != secret {
		return all
	}
	all.noted = note.Ordered
	for _, id := range note.Ordered.IDs {
		claims := func(s *service) bool { return s.deployment(id) != nil || s.order != nil && s.order.id == id }
		if !slices.ContainsFunc(services, claims) {
			all.unclaimed = append(all.unclaimed, id)
		}
	}
	return all
}

// claim is what is known of the restart of one service.
type claim struct {
	id       string    // empty if it is not known which of the unclaimed it is
	created  time.Time // a deployment that is later is newer
	lagUntil time.Time // until then a read may not show it
}

// of is the restart of one service that stands for the secret; ok is false if there is none.
func (o orders) of(s *service) (found claim, ok bool) {
	if own := s.order; own != nil && own.reads == o.secret {
		return claim{own.id, own.created, own.shown.Add(ordersLag)}, true
	}
	if o.noted == nil {
		return claim{}, false
	}
	for _, id := range o.noted.IDs {
		if shown := s.deployment(id); shown != nil {
			return claim{id: id, created: aws.ToTime(shown.CreatedAt)}, true
		}
	}
	found = claim{created: o.noted.At.Add(orderMargin)}
	if len(o.unclaimed) > 0 {
		found.lagUntil = o.noted.At.Add(ordersLag)
	}
	return found, true
}

// covers reports whether the newest deployment of a service is the one that was ordered, or newer.
func (o orders) covers(s *service) bool {
	ordered, ok := o.of(s)
	primary := s.primary()
	return ok && primary != nil && (idOf(primary) == ordered.id || aws.ToTime(primary.CreatedAt).After(ordered.created))
}

// lags reports whether a restart of a service was ordered that a read may not show yet.
func (o orders) lags(s *service) bool {
	ordered, ok := o.of(s)
	return ok && !o.covers(s) && s.deployment(ordered.id) == nil && time.Now().Before(ordered.lagUntil)
}

// failed reports whether ECS has given up the restart of a service and nothing newer has come. A rollback that is a newer
// deployment counts like any other: its tasks read the secret when they start.
func (o orders) failed(s *service) bool {
	ordered, ok := o.of(s)
	if !ok {
		return false
	}
	deployment, primary := s.deployment(ordered.id), s.primary()
	return deployment != nil && deployment.RolloutState == types.DeploymentRolloutStateFailed &&
		(primary == nil || idOf(primary) == ordered.id || !aws.ToTime(primary.CreatedAt).After(ordered.created))
}

// ids are the IDs of what stands for the secret in a service, as a note has them.
func (o orders) ids(s *service) []string {
	ordered, ok := o.of(s)
	switch {
	case !ok:
		return nil
	case o.covers(s):
		return []string{idOf(s.primary())}
	case !o.lags(s):
		return nil
	case ordered.id == "":
		return o.unclaimed
	}
	return []string{ordered.id}
}

// deployment is the one of an ID as in a note; nil if the service does not show it.
func (s *service) deployment(id string) *types.Deployment {
	for i := range s.seen.Deployments {
		if idOf(&s.seen.Deployments[i]) == id {
			return &s.seen.Deployments[i]
		}
	}
	return nil
}

// idOf is the ID of a deployment as it stands in a note: without "ecs-svc/".
func idOf(deployment *types.Deployment) string { return shortName(aws.ToString(deployment.Id)) }
