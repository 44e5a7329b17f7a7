//go:build race && !go1.27

package swarm

// OneIn is how many of many cases are tried, one in ten: the race detector makes
// them slow, and finds nothing in what runs alone.
const OneIn = 10
