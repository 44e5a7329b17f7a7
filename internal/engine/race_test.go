//go:build race

package engine

// oneIn is of how many behaviours one is tried by itself, each of a release: the race
// detector makes them slow, and what runs alone has none.
const oneIn = 4
