// Package swarmtest is a Docker Engine inside the program: it speaks the Engine
// API, forms a swarm of as many nodes as are wanted, and runs services, all in
// memory, without Docker. It is for tests of code that uses the library, and for
// trying things out.
//
//	func TestDeploy(t *testing.T) {
//		engine := swarmtest.Start(t)
//		err := deploy(t.Context(), engine.Client(), "web:1") // the code to test
//		require.NoError(t, err)
//	}
//
// # What is real and what is not
//
// Requests are real HTTP, through the library's whole transport: in memory, see
// [Engine.Client], or at a socket, see [WithListen], for which the docker command
// does as well. Services, tasks, nodes, configs, secrets and networks are kept as
// managers keep them, with their versions, their checks, their texts and their
// statuses, by release: see [WithRelease]. Tasks are placed, started, restarted,
// updated step by step, rolled back; jobs come to their end; nodes fail. The same
// behaviours are tested here and on real engines.
//
// Containers are Go functions, see [Engine.Image], or nothing at all. There are no
// processes, no networks that carry anything, no files and no registries. What is
// about containers alone, building and plugins is answered with 501 and a text
// that names the endpoint.
//
// # Where it differs
//
//   - A leader that loses the majority of the managers is none at once. Real ones go
//     on answering reads for some 16 seconds, and may do later what they refused.
//     Afterwards 20.10 lets /info and reads of networks wait twice, for 40 seconds.
//   - Promotions, new roots of trust and starting a node again take milliseconds, and
//     joining through an address where nobody listens fails at once. A heartbeat that
//     is missed and an election take the time that they really do, see [Pace].
//   - A node that is stopped is gone as in a power cut; its log streams end without
//     the frame in which real engines say why. Who reads what it has logged hears at
//     once that it is gone; real managers look for it for 20 seconds.
//   - Cluster volumes, connecting containers to networks and plugin services are
//     refused; external authorities are never reached.
//   - Swarms are joined and made by addresses, not by names of interfaces.
//   - Templates are filled in the environment of containers, not in their hostnames
//     and mounts.
//   - What an engine tells of its machine in /info, and of images' dates, is made up.
//   - The release [Newest] is as the API documents have it; nobody measured it.
//
// # Time
//
// The engine lives by the time of the machine, and is quick: a task takes
// milliseconds to start. What takes long by itself, such as the five seconds that
// a rollout is watched, takes none in a bubble of testing/synctest, which the
// engine works in, and so does a client:
//
//	synctest.Test(t, func(t *testing.T) {
//		engine := swarmtest.Start(t)
//		…
//	})
//
// [WithManualClock] is for tests that go through time step by step.
//
// # What goes wrong
//
// [Engine.Inject] makes requests fail, hang or end too early, as engines and
// networks do. [Node.Stop] stops a node, leaders too, and [Node.RefuseConnections]
// hides one from its clients. Images fail to be pulled, containers to start, to stay
// healthy, to end well.
//
// # Other ways
//
// A test that is about a decision of one's own, and not about what swarms do, needs
// no engine. The library has no interfaces; declare one with just the methods that
// are called, and give the code a value of the test's instead; the example
// "Interfaces" of [Start] does.
//
// # Promises
//
// An Engine leaves nothing behind when it is closed: no goroutine, no connection,
// no file. Only a container whose function takes no notice of its end outlives it.
// It listens to this machine alone. A hundred engines at once are no burden.
//
// The package is v0: what it can do may change with any release. What an engine
// answers changes where it is found to differ from real ones.
package swarmtest
