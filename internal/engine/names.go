package engine

// newName makes up a name for a service without one.
func (c *Cluster) newName() string {
	qualities := []string{"amber", "brave", "calm", "clever", "eager", "gentle", "happy", "keen", "lucid", "quiet", "swift", "wise"}
	people := []string{"babbage", "bell", "cerf", "curie", "dijkstra", "hamilton", "hopper", "knuth", "liskov", "lovelace", "noether", "turing"}
	random := c.world.rand
	name := qualities[random.IntN(len(qualities))] + "_" + people[random.IntN(len(people))]
	for c.services.named(name) != nil {
		name += string(rune('a' + random.IntN(26)))
	}
	return name
}
