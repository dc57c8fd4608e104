// Package secretsmanager emulates what a rotation function uses of AWS Secrets Manager: secrets, their versions and staging
// labels, and rotations that call the function's four steps.
//
//	server := secretsmanager.New(secretsmanager.Options{Invoke: invokeFunction})
//	defer server.Close()
//	arn := server.AddSecret("runner", `{"client_id":"…","client_secret":"…"}`)
//	server.EnableRotation(arn, functionARN)
//	http.ListenAndServe(address, server) // the AWS SDK talks to it
//	token := server.Rotate(arn)
//	event, err := server.WaitRotation(ctx, arn)
//
// Emulated: CreateSecret, DescribeSecret, ListSecrets, GetSecretValue, PutSecretValue, UpdateSecret, UpdateSecretVersionStage,
// ListSecretVersionIds, RotateSecret, CancelRotateSecret and GetResourcePolicy; [Server.Put], [Server.Rotate] and the like are
// what a person and the schedule do.
//
// Strict where the service is: a rotation registers its version as AWSPENDING without a value; a token keeps the bytes that were
// first put under it; a label that is on another version moves only if that version is named; AWSCURRENT is never removed and
// AWSPREVIOUS follows it; a rotation is refused while another is pending, and repeated as a whole, with the same token, when a
// step fails; reads may lag behind writes. One thing is stricter than is known of the service: AWSCURRENT is not moved to a
// version without a value.
//
// Where the service does not say what it does, [Options] has both ways. What does not affect a rotation is left out: the end of a
// deletion, replication, tags. A key and a resource policy are shown, but nothing is encrypted or denied by them. Schedules are
// checked, and say when the next rotation is due, but never come due by themselves.
//
// [Quirks] are other ways in which the real service may behave.
package secretsmanager
