// Package rotate is the engine that rotates the credentials of one Maia runner: a level-triggered reconciler.
//
// A refresh at Maia revokes the live secret at once; nothing can be rolled back, everything can be rolled forward. So a
// rotation is not a script. [Rotator.Run] looks at the outside world (an [Observation]), asks the pure function [Next]
// for the one next step, takes it, and looks again, until Next answers [Done] or [Refuse]. A run that dies anywhere is
// finished by the next one: no step depends on the memory of the last. What must survive a crash and cannot be seen
// from outside stands in a [Note] beside the runner.
//
// A cloud takes part by implementing [Runner]. One rotation from a timer's handler:
//
//	rotator := &rotate.Rotator{Maia: client, Policy: rotate.DefaultPolicy(), Log: log}
//	report, err := rotator.Run(ctx, runner, rotate.Rotate)
//
// err is nil only if the runner is back: its instances run with what Maia holds, and Maia says connected. Otherwise it
// is an [*Error], which says what happened, in which [State] the runner is now, and what to do.
//
// # Promises
//
// The numbers are those of the tests (TestPromiseN…) and of the README.
//
//  1. Never lost: after a refresh the valid secret is at Maia, and the next run brings it to the runner.
//  2. At most one refresh for each rotation that was due.
//  3. Nothing is revoked before the way is clear.
//  4. Short dark time, measured and reported.
//  5. Success means back.
//  6. Heals, gently.
//  7. Nothing leaks.
//  8. Only ours is touched.
//  9. Isolated: one runner's failure stays with that runner.
package rotate
