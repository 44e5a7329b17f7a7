// Package engine is the inside of the embedded engine: daemons that speak the
// Engine API, the swarm they form, and an orchestrator that moves its tasks, all
// in memory and on a clock of the caller's.
//
// A [World] is everything that one embedded engine simulates. It has one lock:
// whatever happens, a request, a timer or a container's end, happens under it by
// [World.Do], one after the other, so that the same requests at the same times
// give the same results. Nothing waits while it holds the lock. What is to happen
// later is put down with World.after and happens when the clock says so.
//
// Objects of the swarm are never changed once they are stored. A change stores a
// new object in the old one's place, so that an object may be read without the
// lock by whoever got it under the lock.
//
//	world.go      World: the lock, the clock, what is to happen later
//	cluster.go    Cluster: the swarm's objects, their versions, commits
//	refusal.go    what a request is refused with
//	release.go    how engine releases differ
//	daemon.go     Daemon: one node's engine
//	api.go        requests and answers; refs.go, filters.go: what they name
//	services.go   and the like: the endpoints of each kind of object
//	convert.go    what is stored of a service's spec; strip.go, validate.go
//	forming.go    swarms: made, joined, left
//
// What moves a swarm:
//
//	clock.go         ManualClock
//	turns.go         which containers may compute
//	orchestrator.go  what managers notice, and when they act on it
//	replicated.go, global.go, jobs.go   which tasks services need
//	updater.go       rolling updates and rollbacks
//	restart.go       when tasks are replaced
//	allocator.go     subnets, addresses and ports
//	scheduler.go, constraints.go        which nodes tasks go to
//	liveness.go      nodes that stop and come back
//	reaper.go        old tasks
//	agent.go         what nodes do with their tasks
//	container.go, image.go              what runs there
//
// What an engine tells of itself:
//
//	listen.go        Server: connections, in memory and at sockets
//	system.go, info.go                  pings, versions, the engine and its part in a swarm
//	events.go        what has happened, and who watches
//	logbook.go       what containers have written; logs.go: who reads it, and follows
//	containers_api.go, images_api.go    the containers of tasks, and images
//	distribution.go  registries
package engine
