// Package iam emulates the part of AWS IAM that checks the permissions of a
// role: the query API (version 2010-05-08) with its policy simulator.
//
//	server := iam.New(iam.Options{})
//	role := server.AddRole("rotate", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}}`)
//	http.ListenAndServe(address, server) // the AWS SDK talks to it
//	server.Deny("SimulatePrincipalPolicy")
//
// Emulated: SimulatePrincipalPolicy of a role, by package iampolicy, with resources, context entries and paging; a record of the
// calls ([Server.Calls]).
//
// The simulator has two ways to answer, and [Options] has both. Until July 2026 it answered one EvaluationResult for each pair of
// an action and a resource, with the resource's ARN as EvalResourceName. Since then the API reference says that EvalResourceName
// is the template of an ARN, or "*", and that the resources' decisions are in the ResourceSpecificResults: one EvaluationResult
// for each action. Who reads the decision about one action on one resource at a time, from EvalDecision, need not know which it
// is.
//
// Strict where the service is: the method, the path and the content type; a Signature Version 4 over the right headers and not
// older than five minutes (the signature itself is not verified: any credentials are good); the operation and the version of the
// API; that a list is complete and not empty; lengths, numbers and types; the form of an entity's ARN. Two things are stricter
// than is known of the service: an action with a wildcard is refused, and so is a parameter that is unknown or not emulated.
//
// Left out: everything else of IAM; users and groups; permissions boundaries, service control policies, resource policies and
// other callers in the simulator; context keys of several values; whether an action exists.
package iam
