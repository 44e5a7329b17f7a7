//go:build race && go1.27

package swarm

// OneIn is how many of many cases are tried, one in twenty: on this Go all of them
// are tried without the race detector as well.
const OneIn = 20
