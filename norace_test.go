//go:build !race

package swarm

// OneIn is how many of many cases are tried: every one.
const OneIn = 1
