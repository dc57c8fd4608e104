// Package iampolicy reads and evaluates IAM policy documents: those of a role and those of a resource.
//
//	policy, err := iampolicy.Parse(document)
//	ok := policy.Allows(iampolicy.Request{
//		Action:    "lambda:InvokeFunction",
//		Resource:  functionARN,
//		Principal: "secretsmanager.amazonaws.com",
//		Context:   map[string]string{"aws:SourceAccount": "123456789012"},
//	})
//
// It evaluates one document and knows nothing of the others that decide in AWS: boundaries, session policies, an organization's.
// What a document may say and this package does not understand is an error of [Parse] (NotAction, NotResource, NotPrincipal,
// policy variables), or, for the operator of a condition, is taken against the request: an Allow statement with it does not
// match, a Deny statement matches as if that condition held.
//
// Source: "IAM JSON policy reference" in the IAM user guide.
package iampolicy
