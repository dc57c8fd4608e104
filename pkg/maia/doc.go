// Package maia is a client of the Maia control-plane API, as far as rotating a runner's credentials needs it: agents, their credentials,
// refreshing these, and the commands pause, resume and restart.
//
// What a caller can rely on:
//   - A refresh is sent once. If it may have reached Maia and no valid answer came back, the error is ErrOutcomeUnknown; any other error
//     means that nothing was refreshed.
//   - Reads are repeated on 429, 502, 503, 504 and connection errors, at most 5 times in all and within the context. A Retry-After is
//     honoured; if the context leaves no time for it, the call fails at once. The first try has 15 seconds, each other one 30.
//   - A command (PAUSE, RESUME, RESTART) is sent once. It is repeated, like a read, only where it was certainly not carried out; after
//     a failure that shows nothing the agent is to be read.
//   - The error of a call that was tried several times names the last answer that there was.
//   - One access token serves all calls until 2 minutes before it expires. A 401 to it leads to one fresh token and one more try. Callers
//     share the fetch of a token, but not the deadline of the one who makes it.
//   - A reply is used only if it is whole, of the right shape and about the right agent; credentials only if they can be such. Fields that
//     a rotation does not rest on may be absent, or of another type: they are zero then.
//   - No secret, no token and no body of a credentials or token call gets into an error. Redirects are not followed.
//
// Facts about the API are from its public reference (docs.maia.ai). Package maiatest has a fake to test against.
package maia
