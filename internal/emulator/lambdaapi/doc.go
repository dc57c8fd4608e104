// Package lambdaapi emulates the part of AWS Lambda's control API that reads
// how functions are configured. (Package lambda runs a function.)
//
//	server := lambdaapi.New(lambdaapi.Options{})
//	arn := server.AddFunction(lambdaapi.Function{Name: "rotate", Role: roleARN, Timeout: 900})
//	http.ListenAndServe(address, server) // the AWS SDK talks to it
//	server.UpdateFunction("rotate", func(f *lambdaapi.Function) { f.State = "Inactive" })
//	server.Deny("GetPolicy")
//
// Emulated: GetFunctionConfiguration, GetFunctionConcurrency and GetPolicy, of a function by its name, its ARN or a part of its
// ARN, with a qualifier in the name or as a parameter; a record of the calls ([Server.Calls]).
//
// Strict where the service is: the method, the path, and a Signature Version 4 of the right region, over the right headers and
// not older than five minutes (the signature itself is not verified: any credentials are good); the form of a name; a region or
// an account that is not the server's; two qualifiers that contradict each other; a qualifier where the operation has none. A
// query parameter that the operation does not know is an error, which is stricter than the service. A function that Lambda would
// not have can not be added.
//
// Left out: everything that changes a function or runs it, images, layers. Versions and aliases have the function's own
// configuration, and every alias is of version 1.
package lambdaapi
