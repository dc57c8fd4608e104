// Package lambda is the Lambda service around a compiled function: it starts
// the binary with the environment that Lambda gives it, serves it the runtime
// API, and ends it as Lambda does.
//
//	function := lambda.New(lambda.Options{Binary: "bootstrap", FunctionARN: arn, Timeout: 15 * time.Minute})
//	defer function.Close()
//	result, err := function.Invoke(ctx, []byte(`{"Step":"createSecret"}`))
//
// Emulated: cold and warm starts, one invocation at a time in a process and
// several processes for concurrent invocations, deadlines, time-outs, a process
// that exits or cannot be initialized, errors that the function reports.
//
// Strict: a request id is answered once and by its own process; the next event
// is given only after an answer; answers and events are at most 6 MB; the
// environment holds nothing of this process's own, and no variable that Lambda
// reserves may be set.
//
// Left out: extensions, streamed responses, freezing between invocations,
// memory and its limit, and the isolation of the file system. Unlike Lambda's
// Invoke, [Function.Invoke] passes on a payload that is no JSON, as other
// implementations of the runtime API do.
package lambda
