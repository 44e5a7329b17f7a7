// Benchmarks measures how fast logs are read, beside moby's client, go-dockerclient
// and plain copying, in one run:
//
//	go run . -rounds 9                          print the tables
//	go run . -rounds 9 -readme ../README.md     and put them into the README
//	go run . -host unix:///… -service web       measure on a real engine instead
//
// All contenders take turns in every round, and each turn begins without garbage of
// the one before. A ratio is the median over the rounds, each time to moby in the same
// round, so that a machine that is busy with other things slows all of them. Processor
// time is that of this process; the logs are served by another, which sends a frame a
// chunk as engines do, but as fast as it can. Run it on a quiet machine all the same.
//
// What bounds the ratios is a contender too. Through the client that is net/http: its
// reader of chunks takes longer over a chunk of a short line than everything after it,
// and no client that uses it can be faster than io.Copy of its body. In the README's run
// that took a quarter to a third of moby's processor time at 40 and 117 B, so twelve times
// as fast as moby is out of reach there; without HTTP it is not. For lines the bound is a
// Scanner on the bare stream, which neither takes frames apart nor makes strings: in
// memory 49 times as fast as moby with a pipe and a Scanner at 40 B, 33 times at 117 B.
// Entries have ten fields and text of their own, and do not come near that. Lines of 16 KiB are
// strings here, allocated and copied; moby's are good until the next.
package main
