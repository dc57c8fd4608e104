// Package ecs is the [rotate.Runner] of a Maia runner on Amazon ECS: its secret in AWS Secrets Manager, its services on
// ECS, its note in staging labels of the secret.
//
// [Discover] finds everything from the ARN of the secret: the services whose task definition takes a variable from it,
// and there the agent and the region. The runner then works in one of two ways. With [Config.Stage] it belongs to
// createSecret: the store is the version that Secrets Manager registered as AWSPENDING. Without, the store is
// AWSCURRENT, and storing moves that label, to the pending version if it holds the value, else to a version under a
// fresh token, which has a label of ours until then: AWSCURRENT moves only from where it was seen.
//
//	runner, err := ecs.Discover(ctx, secretsmanager.NewFromConfig(aws), awsecs.NewFromConfig(aws), ecs.Config{
//		SecretARN: event.SecretID,
//		Services:  []ecs.ServiceRef{{Cluster: "matillion", Service: "runner"}},
//	})
//
// # The note
//
// AWS advises against calls that change a secret while it rotates. Staging labels of our own are the least that survives a crash
// together with the secret, and need no right that a rotation does not need anyway. A secret can have 20 labels of 256
// characters; of these there are seven at rest, and a few more while they change or where more than ten services are restarted:
//
//	maia-rotate/agent/AGENT             the rest is about this agent
//	maia-rotate/applied/FINGERPRINT/TIME
//	maia-rotate/intent/OVER/TIME/RUN
//	maia-rotate/pausing/TIME/RUN       we were about to pause
//	maia-rotate/paused/TIME/UNTIL/RUN  Maia reported the pause; with stands/ before RUN: UNTIL stood still
//	maia-rotate/rotated/OVER/NEW/TIME
//	maia-rotate/ordered/FINGERPRINT/TIME/ID…  the deployments that were ordered, without "ecs-svc/"
//	maia-rotate/adopted/OVER/NEW/TIME
//	maia-rotate/next                   on the version that is about to become AWSCURRENT
//
// # The restart
//
// A deployment that was ordered is known by its ID, in a later process by the note's: while a read does not show it, for two
// minutes at most, the service counts as rolling, and a newer deployment of anybody's counts like it. Every service is tried,
// whatever becomes of the others; those that are being deleted are left out.
//
// # What cannot be proved before a refresh
//
// Secrets Manager and ECS have no dry run of PutSecretValue and UpdateService: that the role may call them shows when
// they are called. UpdateSecretVersionStage and every read are proved.
package ecs
