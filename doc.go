// Package swarm runs services on Docker Swarm: it is a client for the part of
// the Docker Engine API that is about swarms.
//
//	client, err := swarm.New()
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	change, err := client.Services.Create(ctx, swarm.ServiceSpec{
//		Name: "web",
//		Mode: swarm.Replicated(3),
//		TaskTemplate: swarm.TaskSpec{
//			ContainerSpec: swarm.ContainerSpec{Image: "nginx:1.29"},
//		},
//	}, nil)
//
// # The client
//
// [New] finds the engine like the docker command does: DOCKER_HOST, docker
// contexts, the default sockets. [WithHost] names one instead: unix, tcp, https,
// ssh or npipe. It does no network I/O. A [Client] is safe for concurrent use;
// make one and keep it. Its fields are the parts of the API:
//
//   - Services: create, inspect, list, change, roll back and remove services, wait
//     for their changes, and read their logs;
//   - Tasks: read tasks and their logs;
//   - Swarm: make, join, change and leave swarms, their join tokens, unlock keys
//     and root of trust;
//   - Nodes: inspect, list, label, promote, demote, drain, activate and remove
//     them;
//   - Configs and Secrets: create, inspect, list, label, rotate and remove them;
//   - Networks and Volumes: create, inspect, list and remove them;
//   - Events: watch what happens in the swarm and on the engine;
//   - System: ask the engine about itself, and registries through it.
//
// [Client.Do] reaches every other endpoint, [Client.DialContext] lends the
// connection to another HTTP client.
//
// # Reading and changing
//
// Types and fields have the engine's names, so that what "docker service
// inspect" prints is what you type. Reading takes an ID, a name or a unique ID
// prefix; changing takes a full ID or an exact name alone, because a prefix may
// name something else a moment later.
//
// An object that was read keeps the engine's JSON in its Raw field. Changing it
// and writing it back, with [ServiceClient.Update] or in one go with
// [ServiceClient.Modify], applies the difference to that JSON: fields that this
// library has never heard of stay as they were, an unchanged spec is not sent at
// all. This matters, because engines compare specs deeply: a field lost on the way
// restarts every task.
//
// # Knowing when a change is done
//
// Every change of a service returns a [Rollout], which [ServiceClient.Wait] waits
// for: nil means that all tasks that shall run do, with the spec that was sent, and
// have done so for a while. An update that was rolled back or paused, a service that
// was removed or changed by somebody else is a [*RolloutError] that says which, and
// why the tasks did not run. [ServiceClient.Watch] tells the way there.
//
// # Images and credentials
//
// Credentials for a registry are sent with the calls that take some, and only when
// asked for: Auth or AuthFrom of a call, [WithRegistryAuth] for a client, with
// [StaticAuth], [DockerConfigAuth] or a function. The swarm stores what is sent with
// a service. Pin of a call sends the image with the digest that its registry has
// under the tag, so that every node runs the same.
//
// # Checking without an engine
//
// [ServiceSpec.Validate] finds what engines would refuse, [ServiceSpec.Lint] what
// they would take but not do; the other specs have the same. They are advice: no
// call runs them by itself.
// [ParsePort], [ParseMount] and the other Parse functions read what the flags of
// the docker command take.
//
// # Errors
//
// An error says what failed, for which object, and what the engine answered.
// [errors.Is] with one of the Err variables tells what it means, whatever status
// code or text the engine of the day uses for it: [ErrNotFound],
// [ErrVersionConflict], [ErrNotManager] and so on. [errors.As] with [*Error]
// gives status, message, method and path. No error holds credentials or secret
// data.
//
// # API versions
//
// The client negotiates the API version with the engine once, and again should
// the engine be replaced by another. It knows the versions 1.24 to 1.56. Engines
// silently drop the fields that are newer than the version of a request, so a
// request that holds one fails with a [*VersionError] before it is sent.
//
// # Retries
//
// A read that failed for a reason that passes is sent up to five times, with pauses
// of up to three seconds in all unless the answers ask for longer ones. A write is
// sent up to three times, and again only if the engine provably did not execute it,
// or would refuse to execute it twice because of its version, unique name or full
// ID. If a write's answer was lost
// the error is an [*OutcomeUnknownError]: the engine may have done it, and goes
// on even when the caller gives up. Its Resolve finds out. [WithRetry] changes the
// numbers; the policy may change in any release.
//
// # Streams
//
// Iterators yield (value, nil) until they end, or one last pair with an error;
// leaving the loop closes the connection. Every call obeys its context and
// leaves no goroutine behind. Calls without a deadline are bounded by
// [WithCallTimeout]; streams are not, and of calls that wait, or that begin again
// when somebody else came first, each request is.
package swarm
