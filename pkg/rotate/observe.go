package rotate

import (
	"context"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// observe reads everything. After a refresh the answer counts more than a read of Maia that fails.
func (r *run) observe() error {
	r.alive = wall()
	if err := r.readPlatformAndAgent(); err != nil {
		return err
	}
	if r.seen.Run.Sent == nil { // else what was read last may be newer than the answer, and nothing is refreshed by it
		r.seen.Maia = maia.Credentials{}
	}
	_, known := r.seen.Valid()
	ctx, cancel := r.ctx, context.CancelFunc(func() {})
	if known && r.mayBeDown() && r.seen.Run.Restarts == 0 {
		// A Maia that limits its rate may let the restart wait for minutes. After that there is time.
		ctx, cancel = context.WithTimeout(ctx, downRead)
	}
	read, err := r.rotator.Maia.Credentials(ctx, r.runner.AgentID())
	cancel()
	if err == nil {
		r.seen.Maia = read
	} else if !known || !r.mayBeDown() {
		return err
	} else {
		r.log.WarnContext(r.ctx, "credentials could not be read; the answer of the refresh stands", LogError(err))
	}
	if !r.mayBeDown() && !r.seen.Platform.Stored.Equal(r.seen.Maia) {
		// The secret may have been refreshed between the reads: what was read before does not go with it.
		if err := r.readPlatformAndAgent(); err != nil {
			return err
		}
	}
	r.countConnectedReads()
	r.view = current
	return nil
}

func (r *run) countConnectedReads() {
	if !r.seen.Agent.Connected || !r.seen.Platform.Instances.up() {
		r.seen.Run.ConnectedReads, r.down = 0, true
		return
	}
	if r.seen.Run.ConnectedReads++; r.seen.Run.ConnectedReads == 1 && r.down {
		r.cameBack = time.Now()
	}
}

func (r *run) readPlatform() error {
	platform, err := r.runner.Observe(r.ctx)
	if err != nil {
		return err
	}
	if platform.Stored.ClientSecret.IsZero() {
		return Errorf(Internal, "the store was read and holds no secret")
	}
	r.seen.Platform = platform
	return nil
}

func (r *run) readPlatformAndAgent() error {
	if err := r.readPlatform(); err != nil {
		return err
	}
	// Where the runner is down by our doing, what to do next is known without Maia.
	if r.seen.Run.Mode == Finish && r.seen.onlyPending() {
		r.seen.Agent = maia.Agent{}
		return nil
	}
	if err := r.readAgent(); err != nil {
		if !r.mayBeDown() {
			return err
		}
		r.seen.Agent = maia.Agent{}
		r.log.WarnContext(r.ctx, "the agent could not be read and counts as not connected", LogError(err))
	}
	return nil
}

func (r *run) readAgent() error {
	agent, err := r.rotator.Maia.Agent(r.ctx, r.runner.AgentID())
	if err == nil {
		r.seen.Agent = agent
		r.seen.Run.readPause(agent, time.Now())
	}
	return err
}

// wait waits for one interval, and then reads, if read is not nil; else the loop does.
func (r *run) wait(read func() error) error {
	if err := sleep(r.ctx, pollInterval); err != nil {
		return err
	}
	if read == nil {
		return nil
	}
	return read()
}

// awaitAgent reads the agent until a condition on what was seen holds.
func (r *run) awaitAgent(holds func() bool, what string) error {
	for until := time.Now().Add(commandTime); ; {
		if err := r.readAgent(); err != nil {
			return err
		}
		if holds() {
			return nil
		}
		if !time.Now().Before(until) {
			return Errorf(NotReady, "the command was sent, and after %s the runner is not %s (status %q)", commandTime, what, r.seen.Agent.Status).
				WithHint("nothing: the next run checks again; if this repeats, check the runner in Maia's console")
		}
		if err := sleep(r.ctx, pollInterval); err != nil {
			return err
		}
	}
}

// heldUp reports whether the last read or step was so long ago (the machine hung, the process was stopped) that another run may
// have changed things since. Then everything must be read again before anything is done.
func (r *run) heldUp() bool { return wall().Sub(r.alive) > maxHeldUp }

// wall is the time without its monotonic reading, which stands still while a machine sleeps.
func wall() time.Time { return time.Now().Round(0) }
