package swarm

// The race detector makes each round slow.
func init() { contentRounds = 100 }
