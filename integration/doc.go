// Package integration tests the library on real Docker Engines:
//
//	go test -tags integration ./integration/...
//
// starts one engine of each version named in SWARM_TEST_ENGINES (default "20.10
// 26.1 28.5"), each the manager of a swarm of its own that has the test images
// (see testimage). It needs Linux, root and Debian's apt, and fails where it
// cannot start them. With SWARM_TEST_HOST=unix:///path or tcp://host:port it
// starts nothing and runs on that swarm manager alone; each test removes what it
// has created. Tests that need engines of their own then do nothing; with -v the end
// of the output names them.
//
// Every test runs on every engine, in a subtest named by the engine. The names
// below that subtest must be the same on all: what only some engines can do is
// an expectation, not a skip.
package integration
