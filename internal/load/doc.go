// Package load has tests only: whole fleets of runners on the functions of the three clouds, against a Maia that enforces the
// limit of an account.
//
// Everything is in memory and time is simulated (testing/synctest): hours of calls, restarts and waits pass at once, and no
// figure says anything of how fast a cloud or a machine is. The delays are set to what clouds are known to take. What is
// real is said in each test:
//   - AWS: the functions' handlers and the SDK, over the emulators of Secrets Manager and ECS, with a stand-in for Lambda;
//   - Azure: the function's handler and the SDK, over the emulators of Resource Manager and blob storage;
//   - Google Cloud: the function's configuration, limits and fleet; the releases are stand-ins in memory, because a
//     thousand upgrades by Helm against a real API server take hours.
//
// A fleet is small, unless MAIA_ROTATE_PROVE=1 is set: then it has 1,000 runners.
package load
