// Package rotate is the engine that rotates the credentials of one Maia runner: a level-triggered reconciler.
//
// A refresh at Maia revokes the live secret at once; nothing can be rolled back, everything can be rolled forward. So a
// rotation is not a script. [Rotator.Run] reads the outside world (an [Observation]), asks the pure function [Next] for the
// one next step, takes it, and reads again, until Next answers [Done] or [Refuse]. A run that dies anywhere is finished by
// the next one: no step depends on the memory of the last. What must survive a crash and cannot be seen from outside is kept
// in a [Note] with the runner.
//
// A cloud takes part by implementing [Runner]. One rotation from a timer's handler:
//
//	rotator := &rotate.Rotator{Maia: client, Policy: rotate.DefaultPolicy(), Log: log}
//	report, err := rotator.Run(ctx, runner, rotate.Rotate)
//
// err is nil only if the runner is back: its instances run with what Maia holds, and Maia says connected. Otherwise it
// is an [*Error], which says what happened, in which [State] the runner is now, and what to do.
//
// # Where to read
//
// next.go has the table of decisions; refresh.go, restart.go and pause.go have its longer rows. facts.go works out what they go by, and
// observation.go what Maia holds. effect.go says what a step makes of an observation, and act.go takes the steps.
//
// # Three cases
//
// A refresh that gets no answer: its intent is in the note since before it was sent. The run reads Maia until that shows another
// secret, which it stores. If the quiet time is over first, or its own, it ends with "unknown outcome"; a later run waits out what is
// left of the quiet time, and may then refresh again.
//
// A refresh by an operator in Maia's console, while the runner is paused for a rotation: before the run sends its own refresh it reads
// everything once more. It finds a secret that the store lacks, stores it, restarts the runner, and goes on with the rotation if that is
// still due. A later run that finds the intent of one that was killed cannot know that the new secret is another writer's, and counts it
// as the outcome of that rotation.
//
// A rollout that is slow: the order of the restart is in the note. A run that has waited for the connect time-out, or whose deadline
// comes, ends with "still starting". A later one waits on for the same instances, and orders no others unless they fail, or run for an
// hour without a connection.
//
// # Promises
//
// The numbers are those of the tests (TestPromiseN…) and of the README.
//
//  1. Never lost: after a refresh the valid secret is at Maia, and the next run brings it to the runner.
//  2. At most one refresh for each rotation that was due.
//  3. Nothing is revoked before the way is clear.
//  4. Short downtime, measured and reported.
//  5. Success means back.
//  6. Heals, gently.
//  7. Nothing leaks.
//  8. Only ours is touched.
//  9. Isolated: one runner's failure stays with that runner.
package rotate
