//go:build !race

package engine

// oneIn is of how many behaviours one is tried by itself: every one.
const oneIn = 1
