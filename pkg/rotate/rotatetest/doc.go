// Package rotatetest is the suite that every implementation of [rotate.Runner] must pass. It runs the engine with that
// Runner against a fake of Maia, has every single call fail, and the process end at every single call, and then checks
// whether the promises of package rotate were kept.
//
//	func TestConformance(t *testing.T) {
//		rotatetest.Run(t, func(t *testing.T, setup rotatetest.Setup) rotatetest.Platform { return newPlatform(t, setup) })
//	}
//
// # What a Platform provides
//
// A [Platform] is an emulation of the cloud with one runner in it: a store that holds [Setup.Secret], instances that read
// the store when they start and then call [Setup.Start], and next to them something that is nobody's business, so that it
// shows when it is touched. It hands out Runners, one for each [Process], and is the hands of everybody else: of
// Terraform that reverts the store, of a cloud that replaces instances.
//
//   - Every call of a Runner to its cloud goes through its Process: wrap the RoundTripper of the SDK's client in
//     [Process.Transport], or what stands for a call in [Process.Do]. The name of a call says what it does ("PutSecretValue"),
//     and is no other in the next run. Hold no lock of the platform's around it.
//   - A Runner remembers nothing of the one before it. What the next process must know is in the cloud.
//   - Instances take a few seconds to start, and all are replaced within three minutes. Choose times that are no multiples
//     of two seconds, the engine's polling interval; shorter ones make a faster suite.
//   - What a process has written may show to the next one up to a second later, to itself never: then let it lag.
//   - The calls of a run are the same and in the same order each time, until something fails. Beware of ranging over maps.
//   - A platform lives in a bubble of testing/synctest, in which hours pass at once: no network, and nothing that waits on
//     what was made outside. What a library makes once for the whole program, make before [Run].
//
// # How scenarios run
//
// A scenario is a fresh platform, an hour old, and a fresh Maia. It runs a process, often one with a fault, then others
// without, and checks. A process is a new Runner and a new [rotate.Rotator] with the default policy, an hour between
// rotations, and 15 minutes of time. There are four kinds of scenarios.
//
//   - Stories: a rotation; an operator refreshes in the console, reverts the store, pauses; a drain or a restart that does
//     not end; reads that lag; a refresh that is carried out late; two runs at once.
//   - contract-METHOD: what rotate.Runner promises of a method, without the engine. Begin with these.
//   - CALL-NN-WHAT, for each call of a rotation that nothing disturbs, the NNth of its name. What happens to it is
//     fail-before (it is lost on the way, and its repetitions too, so that no SDK's retry helps), fail-after (it is carried
//     out, the answer is lost), the same once (which the SDK's retry repairs), cut-before and cut-after (the process ends
//     there), an unusable answer of Maia's, or that a person refreshes, reverts or resumes right before it.
//   - CALL-NN-again-WHAT, -repairing-a-reverted-store-WHAT, -adopting-WHAT: the same in a platform that was rotated before, and
//     in runs that heal.
//
// What comes after a fault is in the name too. As a rule it is a run half an hour later, which must finish the job: by
// then the quiet time after a refresh of unknown outcome is over, so that nothing excuses it. With at-once a run
// follows a second later. It may say that it is too early, by an error of the kind NotReady or UnknownOutcome; then the
// one after half an hour must finish. With heal two runs follow that only heal, half an hour apart; they must leave a
// runner that works, and refresh nothing.
//
// A process that is cut off is dead: whatever it still calls is answered with an error and not sent. What is left of it
// runs on during the next process, as long as it likes, but must come to an end.
//
// # What is checked
//
// The failures name the promises by their numbers in package rotate.
//
//  1. In the end the store holds what Maia holds, all instances are logged in with it, the note is closed, and one more
//     run finds nothing to do.
//  2. There were exactly as many refreshes as rotations were due, and the reports say so.
//  3. An error that says that nothing was changed is true of the store, the instances, the refreshes and the pause; no
//     pipeline ran when the secret was revoked.
//  4. The reported downtime is the measured one; no call but those of Store, and then of Restart, follows a refresh.
//  5. No error means: back, on all instances, and not paused by us.
//  6. A runner whose instances hold Maia's secret is not restarted, one that is disconnected not paused, and what is
//     repaired is not reported as a rotation.
//  7. No secret that there ever was, no token, and not the API credential, nor a part of it or its Base64, is in a log, an
//     error, a report, [rotate.Instances] or [Platform.Kept].
//  8. [Platform.Foreign] stays the same, and so does an operator's pause; none of ours is left.
//  9. A run that has not done what was due ends with an error.
//
// # Repeating a failure
//
// A scenario that fails prints the runs that it made, with their steps and errors, and a command that repeats just it:
//
//	repeat with: go test ./pkg/rotate/ecs -run '^TestConformance$/^PutSecretValue-01-cut-after$'
//
// Names count the calls of one name, so they mean the same call as long as the calls before it stay the same.
//
// # What it cannot show
//
// That the emulation is as strict as the cloud. A Runner that does not check something, such as a deployment of an
// unusual kind, needs tests of its own.
package rotatetest
