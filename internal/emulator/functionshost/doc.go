// Package functionshost is the Azure Functions host around a custom handler, as far as a timer needs it: it reads an
// unpacked app, starts its handler, waits until it is ready, posts invocations as the host does, and ends the handler as the
// host does.
//
//	host, err := functionshost.New(functionshost.Options{Folder: folder, Settings: []string{"ROTATION_SCHEDULE=0 */30 * * * *"}})
//	defer host.Close()
//	results, err := host.Fire(ctx, "RotateRunnerSecrets", functionshost.Timer{})
//
// Emulated: host.json and function.json with the app settings that they name, readiness, headers and bodies byte for byte,
// functionTimeout (the handler is killed), the retry policy of a fixed delay, invocations at the same time (as when the
// timer's lease was lost), the restart of a handler that has left with an error, and the log: standard output is Information,
// standard error is Error.
//
// Strict: a handler without its executable bit, a schedule that is no NCRONTAB or whose setting is missing, a handler that
// leaves with 0 (it is not started again), and an answer without a document: the host waits for it for ever, which is until
// functionTimeout.
//
// Left out: when the timer fires (whoever uses this package says when), other triggers, other output than none, and the
// metrics.
package functionshost
