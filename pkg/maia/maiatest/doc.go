// Package maiatest is a fake of the Maia API for tests: stateful, as strict as the real one in what it accepts, and able to fail in all the
// ways in which a network and a service can.
//
// A Server is an http.Handler, for httptest.NewServer, and has a Transport that calls the handler in memory, for a bubble of
// testing/synctest. All its time comes from time.Now and timers, and states follow from the time when they are asked for.
//
//	fake := maiatest.New()
//	defer fake.Close()
//	fake.AddAgent(maiatest.AgentSpec{ID: id, ClientID: "runner"})
//	instance, err := fake.Connect(id, "runner", fake.LiveSecret(id)) // a runner logs in
//	credentials, err := fake.Client(t).RefreshCredentials(ctx, id)   // instance.Connected() is false now
//
// What it holds to, from the API's reference and guides:
//   - A refresh revokes the old secret at once, disconnects all instances, kills the tasks that run (Lost) and leaves the status "unknown".
//   - A pause lets tasks finish: "pausing", then "paused" when none is left. It ends with RESUME or at pausedUntil, and outlives both
//     disconnection and a new login.
//   - Tokens expire; the audience, the grant type, the content type and the place of the credentials must be right.
//   - Errors are problem documents (RFC 7807); the rate limit is that of the account, over all calls but those for tokens.
//
// Where the reference is silent, the real service may be as each of the Quirks is: WithQuirk and Play have a server play them. Without any,
// the fake chooses: a pause of a paused agent starts its time anew (so that touching an operator's pause shows); a pause of a disconnected
// agent is accepted and stays "pausing" until an instance connects; RESTART of a disconnected agent is a 409 and otherwise changes nothing;
// pausedUntil stands still, in whole seconds, and is left out while the status is "unknown".
package maiatest
