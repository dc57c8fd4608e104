// Package eventbridge emulates the part of Amazon EventBridge in which the
// schedule of a function is found: rules and their targets.
//
//	server := eventbridge.New(eventbridge.Options{})
//	defer server.Close()
//	server.AddRule(eventbridge.Rule{
//		Name: "heal", ScheduleExpression: "rate(1 hour)",
//		Targets: []eventbridge.Target{{ID: "function", ARN: functionARN, Input: `{"Step":"heal"}`}},
//	})
//	http.ListenAndServe(address, server) // the AWS SDK talks to it
//
// Emulated: ListRuleNamesByTarget, DescribeRule and ListTargetsByRule, on the default bus and others.
//
// Strict where the service is: a target is found by its exact ARN; a rule is found only on its own bus; names, limits and ARNs
// must have their form. A rule that EventBridge would not have can not be added.
//
// Left out: events, and so that a rule is ever due; a target's role, retries
// and transformations. The patterns of events are only checked to be JSON.
package eventbridge
