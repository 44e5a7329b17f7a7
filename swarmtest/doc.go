// Package swarmtest is a Docker Engine inside the program: it speaks the Engine
// API, forms a swarm of as many nodes as are wanted, and runs services, all in
// memory, without Docker. It is for tests of code that uses the library, and for
// trying things out.
//
//	// deployWeb is code to be tested: it makes a service and waits until it runs.
//	func deployWeb(ctx context.Context, client *swarm.Client, image string) error {
//		change, err := client.Services.Create(ctx, swarm.ServiceSpec{
//			Name:         "web",
//			TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: image}},
//		}, nil)
//		if err != nil {
//			return err
//		}
//		return client.Services.Wait(ctx, change.Rollout, nil)
//	}
//
//	func TestDeployWeb(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) { // which takes no time
//			if err := deployWeb(t.Context(), swarmtest.Start(t).Client(), "web:1"); err != nil {
//				t.Fatal(err)
//			}
//		})
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
// The release [Newest] is held to what was measured of an engine built from the
// sources of API 1.56, in August 2026, where that differs from 28.5. Unlike the
// others no real engine of it is run by this repository's tests.
//
// # Where it differs
//
//   - Managers that lose the majority have no leader at once. Real ones go on
//     answering reads for some 16 seconds, and may do later what they refused; 20.10
//     lets /info and reads of networks wait twice afterwards, for 40 seconds.
//   - Promotions, new roots of trust and starting a node again take milliseconds. A
//     heartbeat that is missed and an election take the time that they really do,
//     see [Pace].
//   - Joining through an address where nobody listens fails at once and for good.
//   - A node that is stopped is gone as in a power cut: log streams end without the
//     frame in which real engines say why, and who reads what it has logged hears
//     at once that it is gone, for which real managers look for 20 seconds.
//   - Cluster volumes and plugin services are refused.
//   - Certificates never expire, and no external authority is asked for them.
//   - Swarms are joined and made by addresses, not by names of interfaces.
//   - There are no events of what containers do with volumes and networks.
//   - A container's log keeps its last 64 MiB, as if it had been rotated.
//   - What an engine tells of its machine in /info, and of images' dates and sizes, is
//     made up.
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
// no file. Only a container whose function takes no notice of its end outlives it,
// and what an [Effect] of the test's own has begun.
// It listens to this machine alone.
//
// A hundred engines at once are no burden, nor is a swarm of 1,000 services with
// 10,000 tasks on 10 nodes. On two cores that others kept busy the tasks ran after
// 5.8 s, all services and tasks were listed in 1.5 s, one service rolled in 2 ms
// beside the others, and all in 8.9 s; on a clock moved by hand, which leaves out
// what rollouts only wait for. The benchmarks of internal/engine measure it.
//
// The package is v0: what it can do may change with any release. What an engine
// answers changes where it is found to differ from real ones.
package swarmtest
