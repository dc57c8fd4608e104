// Package awsjson is the AWS JSON 1.1 protocol, from the server's side: the
// part that Secrets Manager and ECS have in common on the wire.
//
// A service registers its operations and gets an [http.Handler]:
//
//	h := awsjson.New(awsjson.Config{SigningName: "ecs", TargetPrefix: "AmazonEC2ContainerServiceV20141113", …})
//	awsjson.Register(h, "DescribeServices", func(in *describeServicesInput) (*describeServicesOutput, error) { … })
//
// Emulated: dispatch on X-Amz-Target, the errors of the protocol, request ids, a record of the calls ([Handler.Calls]) and faults
// of the network and of the service ([Handler.Inject]). Package wire serves a handler from memory, for tests inside a
// testing/synctest bubble.
//
// Strict: the method, the path, the content type, the size of a request, and a Signature Version 4 of the right service and
// region, over the right headers and not older than five minutes. A member that the operation does not know, or of another type
// or spelling, is an error: the real services ignore some unknown members, but here such a member is a misspelling or something
// that is not emulated.
//
// Left out: the signature itself is not verified (any credentials are good),
// and there are no permissions but those that a [Fault] takes away.
package awsjson
